"""Adds LoRA adapters to the weights of a model before it is compressed."""
