"""Encoders: a text → one vector, or a question and a text → how well they fit.

`loading.load_encoder` opens a checkpoint of the BERT family. `graph` puts its graph together with OpenVINO's operations
alone, as `llm_chatbot.decoder` does for decoders; `settings` and `tensors` read the checkpoint, without PyTorch or
Transformers.
"""
