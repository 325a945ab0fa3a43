"""Token ids, their text, and a conversation in a model's chat format.

The requests and responses are those of llama.cpp's server and of vLLM, which differ in names only:
https://github.com/ggml-org/llama.cpp/tree/master/tools/server
"""

from collections.abc import Mapping
from typing import Any, Literal

from fastapi import APIRouter
from pydantic import model_validator

from llm_chatbot.answering.question import Question
from llm_chatbot.answering.served import ServedModel
from llm_chatbot.api.calls import chat_questions
from llm_chatbot.api.chat_messages import Body
from llm_chatbot.api.find_model import find
from llm_chatbot.api.json_request import WellFormedRoute
from llm_chatbot.api.model_info import model_info
from llm_chatbot.api.requests import ChatRequest
from llm_chatbot.api.sampling_fields import TokenId


class TemplateRequest(ChatRequest):
    """As for an answer."""

    add_generation_prompt: Literal[True] = True


class TokenizeRequest(Body):
    """A text, as `content` or `prompt`.

    `add_special` puts what begins every text before it, such as BOS. With `parse_special` control tokens that are
    written in it are control tokens, as in a text of /apply-template.
    """

    model: str | None = None
    content: str
    add_special: bool = False
    parse_special: bool = True
    with_pieces: Literal[False] = False

    @model_validator(mode="before")
    @classmethod
    def _rename(cls, values: Any) -> Any:
        names = {"prompt": "content", "add_special_tokens": "add_special"}
        return {names.get(name, name): value for name, value in values.items()} if isinstance(values, dict) else values


class DetokenizeRequest(Body):
    model: str | None = None
    tokens: list[TokenId]


def tokens_router(models: Mapping[str, ServedModel]) -> APIRouter:
    """The routes of these models."""
    router = APIRouter(route_class=WellFormedRoute)

    async def prompt_ids(model: ServedModel, body: TemplateRequest) -> list[int]:
        (question, *_), _ = chat_questions(body, model_info(await model.facts()))
        return list(await model.prompt_ids(question))

    @router.post("/tokenize")
    async def tokenize(body: TokenizeRequest | TemplateRequest) -> dict[str, Any]:
        model = find(models, body.model)
        if isinstance(body, TemplateRequest):
            ids = await prompt_ids(model, body)
        else:
            beginning = await model.prompt_ids(Question(prompt="")) if body.add_special else []
            ids = [*beginning, *await model.encode(body.content, body.parse_special)]
        return {"tokens": ids, "count": len(ids), "max_model_len": (await model.facts()).context_length}

    @router.post("/detokenize")
    async def detokenize(body: DetokenizeRequest) -> dict[str, str]:
        text = await find(models, body.model).decode(body.tokens)
        return {"content": text, "prompt": text}

    @router.post("/apply-template")
    async def apply_template(body: TemplateRequest) -> dict[str, str]:
        model = find(models, body.model)
        return {"prompt": await model.decode(await prompt_ids(model, body))}

    return router
