"""Two answers to the same question: what each has that the other doesn't.

The page asks for the answers as for any others, one after the other, so that each has the whole machine and their
tokens/s can be compared; see `web/models/compare.js`.
"""

import asyncio
from collections.abc import Callable, Iterator

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from llm_chatbot.answering.models import LoadedModel
from llm_chatbot.answering.question import ModelKey
from llm_chatbot.api.json_response import WellFormedJSONResponse
from llm_chatbot.engine.text.tokenizer import ChatTokenizer
from llm_chatbot.errors import UserError
from llm_chatbot.evaluation.differences import aligned
from llm_chatbot.page.routes import guarded, model_key, request_json

MAX_COMPARED = 50_000  # characters of an answer: the time to align two grows with the square

MarkedPart = dict[str, object]  # {"text": …, "differs": whether the other answer lacks it there}


def mark_differences(left: str, right: str, tokenizer: ChatTokenizer) -> tuple[list[MarkedPart], list[MarkedPart]]:
    """Two answers in parts, of which some differ from the other answer. The unit is a token.

    Args:
        tokenizer: splits both answers, also where another model wrote the second one: the tokens of two vocabularies
            can't be compared.
    """
    columns: tuple[list[MarkedPart], list[MarkedPart]] = ([], [])
    for ours, theirs, same in aligned(list(token_texts(left, tokenizer)), list(token_texts(right, tokenizer))):
        for column, texts in zip(columns, (ours, theirs), strict=True):
            if texts:
                column.append({"text": "".join(texts), "differs": not same})
    return columns


def token_texts(text: str, tokenizer: ChatTokenizer) -> Iterator[str]:
    """The tokens of a text, as pieces of it that make it up. Tokens that share a character are one piece."""
    start = 0
    for _, end in tokenizer.backend_tokenizer.encode(text, add_special_tokens=False).offsets:
        if end > start:
            yield text[start:end]
            start = end
    if start < len(text):
        yield text[start:]


def compare_route(model: Callable[[ModelKey | None], LoadedModel]) -> Route:
    """`/page/compare`: {"left": text, "right": text, "model": key of the left one's} → both in parts."""

    async def compare(request: Request) -> Response:
        asked = await request_json(request)
        left, right, key = asked.get("left"), asked.get("right"), model_key(asked.get("model"))
        if not isinstance(left, str) or not isinstance(right, str) or len(left) + len(right) > 2 * MAX_COMPARED:
            raise UserError("page.compare_length")
        tokenizer = (await asyncio.to_thread(model, key)).tokenizer
        parts = await asyncio.to_thread(mark_differences, left, right, tokenizer)
        return WellFormedJSONResponse(dict(zip(("left", "right"), parts, strict=True)))

    return Route("/page/compare", guarded(compare), methods=["POST"])
