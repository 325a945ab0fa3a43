"""Logits → the next token: sampling, grammars, log-probabilities, drafts."""
