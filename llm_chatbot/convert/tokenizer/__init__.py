"""Tokenizers and chat templates of checkpoints."""
