"""Embeddings as Ollama makes them, and encoders as it lists them: https://docs.ollama.com/api/embed."""

import hashlib
import time
from typing import Any

import numpy as np
from fastapi import Request
from pydantic import Field

from llm_chatbot.api.chat_messages import LenientBody
from llm_chatbot.api.embeddings import MAX_TEXTS, checked_dimensions, cut
from llm_chatbot.api.encoders import ServedEncoders
from llm_chatbot.api.metrics import Metrics
from llm_chatbot.api.number_types import PositiveInteger
from llm_chatbot.api.ollama.cards import NEVER
from llm_chatbot.api.ollama.tags import untagged
from llm_chatbot.api.ollama.writer import NANOSECONDS, timestamp
from llm_chatbot.encoder.encoder import EncoderModel


class EmbedRequest(LenientBody):
    """`options` and `keep_alive` change nothing: an encoder stays in memory."""

    model: str
    input: str | list[str] = Field([], max_length=MAX_TEXTS)
    truncate: bool = True
    dimensions: PositiveInteger | None = None


class OldEmbedRequest(LenientBody):
    """Of /api/embeddings."""

    model: str
    prompt: str = ""

    def as_newer(self) -> EmbedRequest:
        return EmbedRequest(model=self.model, input=self.prompt or [])


async def embedded(body: EmbedRequest, request: Request, encoders: ServedEncoders, metrics: Metrics) -> dict[str, Any]:
    """The response to a request. A text that is too long is cut off, unless the request says otherwise.

    Raises:
        APIError: there is no such encoder, or it can't do what is asked for.
    """
    started = time.perf_counter()
    encoder = encoders.embedder(untagged(body.model))
    dimensions = checked_dimensions(encoder, body.dimensions)
    texts = [body.input] if isinstance(body.input, str) else body.input
    tokens = await encoders.beside(encoder.tokenize, texts) if texts else []
    if body.truncate:
        tokens = [encoder.shortened(text) for text in tokens]
    vectors = await encoders.run(request, encoder, tokens, "input") if texts else np.empty((0, dimensions))
    count = sum(len(text.ids) for text in tokens)
    metrics.note_read(encoder.name, count)
    return {
        "model": encoder.name,
        "embeddings": cut(vectors, dimensions).tolist(),
        "total_duration": int((time.perf_counter() - started) * NANOSECONDS),
        "load_duration": 0,
        "prompt_eval_count": count,
    }


def encoder_tag(encoder: EncoderModel) -> dict[str, Any]:
    return {
        "name": encoder.name,
        "model": encoder.name,
        "modified_at": timestamp(0),
        "size": encoder.size,
        "digest": hashlib.sha256(f"{encoder.name} {encoder.size}".encode()).hexdigest(),
        "details": encoder_details(encoder),
    }


def running_encoder(encoder: EncoderModel) -> dict[str, Any]:
    return {**encoder_tag(encoder), "expires_at": NEVER, "size_vram": 0, "context_length": encoder.max_tokens}


def encoder_details(encoder: EncoderModel) -> dict[str, Any]:
    family = encoder.settings.architecture
    return {
        "parent_model": "",
        "format": "safetensors",
        "family": family,
        "families": [family],
        "parameter_size": "",
        "quantization_level": "",
    }


def encoder_description(encoder: EncoderModel) -> dict[str, Any]:
    family = encoder.settings.architecture
    return {
        "modelfile": "",
        "parameters": "",
        "template": "",
        "modified_at": timestamp(0),
        "details": encoder_details(encoder),
        "model_info": {
            "general.architecture": family,
            f"{family}.context_length": encoder.max_tokens,
            f"{family}.embedding_length": encoder.settings.hidden,
        },
        "capabilities": ["embedding"],
    }
