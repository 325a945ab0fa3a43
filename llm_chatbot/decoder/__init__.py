"""A decoder's graph, put together from a GGUF file's weights without PyTorch or Transformers.

`build.build_decoder` makes the graph. `rows` says what each architecture is made of, `decoder` puts the parts together,
and each part has a module: `attention` and `self_attention`, `latent_attention`, `rotary`, `experts`, `blocks`.
`keys`, `sizes` and `tensors` read the file.
"""
