"""A chat model on your own machine with OpenVINO: converted, compressed, and answering on a page and over an API."""

from llm_chatbot.machine import telemetry as telemetry

__version__ = "1.0.0"
