"""A compiled model → a conversation that streams: prompt, KV cache, sampling, text.

It needs OpenVINO, NumPy and a tokenizer, and states as protocols what it needs of a model. It knows neither PyTorch nor
Optimum Intel, and nothing of how a folder was made or who shows the answers.
"""
