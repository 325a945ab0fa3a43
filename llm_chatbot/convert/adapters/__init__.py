"""LoRA adapters, added to the weights of a model before it is compressed."""
