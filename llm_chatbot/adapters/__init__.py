"""LoRA adapters: PEFT's folders and GGUF files, read into the changes that they make to a model's weights."""
