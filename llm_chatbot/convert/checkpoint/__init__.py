"""Checkpoints: where they come from, how they are read without their code, and what they become in Transformers."""
