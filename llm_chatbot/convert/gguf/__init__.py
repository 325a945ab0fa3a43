"""A GGUF file → OpenVINO IR with the same integers and scales."""
