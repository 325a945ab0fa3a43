"""A GGUF file, checked before it is trusted: its header, the blocks of its tensors, its tokenizer."""
