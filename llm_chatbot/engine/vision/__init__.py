"""Pictures in a conversation: bytes → pixels → the vectors that the language model reads in place of tokens."""
