"""Embeddings and reranking.

Embeddings are OpenAI's: https://platform.openai.com/docs/api-reference/embeddings. Reranking is Jina's and Cohere's, as
llama.cpp's server and vLLM have it: https://jina.ai/reranker and https://docs.cohere.com/reference/rerank.
"""

import asyncio
import base64
from collections.abc import Sequence
from typing import Annotated, Any, Literal
from uuid import uuid4

import numpy as np
from fastapi import APIRouter, Request
from pydantic import Field
from starlette.responses import Response

from llm_chatbot.api.chat_messages import Body
from llm_chatbot.api.encoders import ServedEncoders
from llm_chatbot.api.errors import APIError
from llm_chatbot.api.json_request import WellFormedRoute
from llm_chatbot.api.json_response import WellFormedJSONResponse
from llm_chatbot.api.metrics import Metrics
from llm_chatbot.api.number_types import PositiveInteger, TokenIds
from llm_chatbot.api.texts_or_ids import ONE_KIND, listed
from llm_chatbot.encoder.encoder import CrossEncoder, Encoder, Tokens, probabilities

MAX_TEXTS = 2048


SeveralTexts = Annotated[list[str] | list[TokenIds], Field(min_length=1, max_length=MAX_TEXTS)]


class EmbeddingRequest(Body):
    """One or several texts, or the ids of their tokens, with those that the tokenizer puts around a text."""

    model: str | None = None
    input: Annotated[str | TokenIds | SeveralTexts, ONE_KIND]
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: PositiveInteger | None = None
    user: Any = None


class RankedDocument(Body):
    text: str


class RerankRequest(Body):
    model: str | None = None
    query: str
    documents: list[str | RankedDocument] = Field(min_length=1, max_length=MAX_TEXTS)
    top_n: PositiveInteger | None = None
    return_documents: bool = False

    @property
    def texts(self) -> list[str]:
        return [document if isinstance(document, str) else document.text for document in self.documents]


def embeddings_router(encoders: ServedEncoders, metrics: Metrics) -> APIRouter:
    """The routes of these encoders."""
    router = APIRouter(route_class=WellFormedRoute)

    @router.post("/v1/embeddings")
    async def embeddings(body: EmbeddingRequest, request: Request) -> Response:
        encoder = encoders.embedder(body.model)
        dimensions = checked_dimensions(encoder, body.dimensions)
        tokens = await encoders.beside(_read, encoder, listed(body.input))
        vectors = cut(await encoders.run(request, encoder, tokens, "input"), dimensions)
        usage = _usage(metrics, encoder.name, tokens)

        def response() -> Response:
            form = _base64 if body.encoding_format == "base64" else _numbers
            data = [
                {"object": "embedding", "index": index, "embedding": form(vector)}
                for index, vector in enumerate(vectors)
            ]
            return WellFormedJSONResponse({"object": "list", "data": data, "model": encoder.name, "usage": usage})

        return await asyncio.to_thread(response)  # there may be a million numbers in it

    @router.post("/v2/rerank")
    @router.post("/v1/rerank")
    @router.post("/rerank")
    async def rerank(body: RerankRequest, request: Request) -> dict[str, Any]:
        encoder = encoders.reranker(body.model)
        if isinstance(encoder, CrossEncoder):
            tokens = await encoders.beside(encoder.tokenize_pairs, body.query, body.texts)
            scores = probabilities((await encoders.run(request, encoder, tokens, "documents"))[:, 0])
        else:
            tokens = await encoders.beside(encoder.tokenize, [body.query, *body.texts])
            query = await encoders.run(request, encoder, tokens[:1], "query")
            scores = await encoders.run(request, encoder, tokens[1:], "documents") @ query[0]
        best = np.argsort(-scores, kind="stable")[: body.top_n].tolist()
        usage = _usage(metrics, encoder.name, tokens)
        results = [_result(body, index, float(scores[index])) for index in best]
        head = {"id": f"rerank-{uuid4().hex}", "object": "list", "model": encoder.name}
        return {**head, "usage": usage, "results": results}

    return router


def checked_dimensions(encoder: Encoder, dimensions: int | None) -> int:
    """How many values vectors have that were asked for with so many.

    Raises:
        APIError: the model was not trained to give so many.
    """
    if dimensions is None:
        return encoder.dimensions
    if not encoder.settings.may_be_cut(dimensions):
        whole = encoder.dimensions
        raise APIError("api.dimensions", param="dimensions", code="invalid_value", name=encoder.name, dimensions=whole)
    return dimensions


def cut(vectors: np.ndarray, dimensions: int) -> np.ndarray:
    """The first values of vectors, brought to length 1 again."""
    if dimensions == vectors.shape[1]:
        return vectors
    shorter = vectors[:, :dimensions]
    return shorter / np.linalg.norm(shorter, axis=1, keepdims=True)


def _read(encoder: Encoder, texts: Sequence[Any]) -> list[Tokens]:
    if isinstance(texts[0], str):
        return encoder.tokenize(texts)
    return [encoder.tokens_of(ids) for ids in texts]


def _numbers(vector: np.ndarray) -> list[float]:
    return vector.tolist()


def _base64(vector: np.ndarray) -> str:
    """As OpenAI's clients read it: float32, the lowest byte first."""
    return base64.b64encode(vector.astype("<f4").tobytes()).decode()


def _result(body: RerankRequest, index: int, score: float) -> dict[str, Any]:
    document = {"document": {"text": body.texts[index]}} if body.return_documents else {}
    return {"index": index, "relevance_score": score, **document}


def _usage(metrics: Metrics, name: str, tokens: Sequence[Tokens]) -> dict[str, int]:
    count = sum(len(text.ids) for text in tokens)
    metrics.note_read(name, count)
    return {"prompt_tokens": count, "total_tokens": count}
