"""The encoders of a server, and their work beside the event loop."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
from fastapi import Request

from llm_chatbot.api.errors import APIError
from llm_chatbot.api.find_model import Kind, find
from llm_chatbot.api.streams import unless_disconnected
from llm_chatbot.encoder.encoder import CrossEncoder, Encoder, EncoderModel, TextTooLongError, Tokens

Returned = TypeVar("Returned")


class ServedEncoders:
    """The encoders of a server, by the names that requests call them.

    They compute in one thread, for as many texts at a time as `EncoderModel.calls` takes, so several requests share it.

    Args:
        embedding: those that make embeddings.
        reranking: those that read a question and a text together.

    Attributes:
        named: all of them.
    """

    def __init__(
        self, embedding: Mapping[str, Encoder] | None = None, reranking: Mapping[str, CrossEncoder] | None = None
    ) -> None:
        self.embedding, self.reranking = embedding or {}, reranking or {}
        self.named: Mapping[str, Encoder | CrossEncoder] = {**self.embedding, **self.reranking}
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="encoder")

    def embedder(self, name: str | None) -> Encoder:
        """The one with a name; where there is only one, it answers to any.

        Raises:
            APIError: there is none.
        """
        return _find(self.embedding, name)

    def reranker(self, name: str | None) -> Encoder | CrossEncoder:
        """The one with a name. Without a name, it is one that reads question and text together, if there is any."""
        if name is not None and name in self.named:
            return self.named[name]
        return _find(self.reranking, name) if self.reranking else _find(self.embedding, name)

    async def run(self, request: Request, encoder: EncoderModel, texts: Sequence[Tokens], param: str) -> np.ndarray:
        """An encoder's result for texts, float32 [texts, ...]. It ends early if the client goes away.

        Args:
            request: as it came.
            encoder: one of these.
            texts: at least one.
            param: the field of the request that has the texts.

        Raises:
            APIError: a text is too long.
        """
        found: dict[int, np.ndarray] = {}

        async def work() -> None:
            calls = encoder.calls(texts)
            while (call := await self.beside(next, calls, None)) is not None:
                found.update(zip(*call, strict=True))

        try:
            await unless_disconnected(request, work())
        except TextTooLongError as error:
            raise APIError("verbatim", param=param, code="context_length_exceeded", text=error) from error
        if len(found) < len(texts):
            raise asyncio.CancelledError  # nobody waits for the response any more
        return np.stack([found[place] for place in range(len(texts))])

    async def beside(self, function: Callable[..., Returned], *arguments: Any) -> Returned:
        """Calls a function in the thread of the encoders."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, function, *arguments)

    def close(self) -> None:
        """Ends the thread of the encoders, after the call in which it is."""
        self._thread.shutdown(cancel_futures=True)


def _find(encoders: Mapping[str, Kind], name: str | None) -> Kind:
    if not encoders:
        raise APIError("api.no_encoder", 501, code="no_encoder")
    return find(encoders, name)
