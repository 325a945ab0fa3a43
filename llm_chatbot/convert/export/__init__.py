"""Transformers' model → OpenVINO IR → compressed weights, with little memory."""
