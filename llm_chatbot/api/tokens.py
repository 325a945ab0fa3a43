"""Token ids, their text, and a conversation in a model's chat format.

The requests and responses are those of llama.cpp's server and of vLLM, which differ in names only:
https://github.com/ggml-org/llama.cpp/tree/master/tools/server. /tokenizer_info is vLLM's; lm-eval asks it.
"""

from collections.abc import Mapping
from typing import Any, Literal

from fastapi import APIRouter
from pydantic import model_validator

from llm_chatbot.answering.question import Question
from llm_chatbot.answering.served import ServedModel
from llm_chatbot.api.calls import chat_questions
from llm_chatbot.api.chat_messages import Body
from llm_chatbot.api.encoders import ServedEncoders
from llm_chatbot.api.find_model import find, no_model
from llm_chatbot.api.json_request import WellFormedRoute
from llm_chatbot.api.model_info import model_info
from llm_chatbot.api.number_types import TokenId
from llm_chatbot.api.requests import ChatRequest
from llm_chatbot.encoder.encoder import EncoderModel


class TemplateRequest(ChatRequest):
    """As for an answer."""

    add_generation_prompt: Literal[True] = True


class TokenizeRequest(Body):
    """A text, as `content` or `prompt`.

    `add_special` puts what begins every text before it, such as BOS, and for an encoder what ends it after it. With
    `parse_special` control tokens that are written in it are control tokens, as in a text of /apply-template; for an
    encoder they never are.
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


def tokens_router(models: Mapping[str, ServedModel], encoders: ServedEncoders) -> APIRouter:
    """The routes of these models, and of encoders, which read no conversations."""
    router = APIRouter(route_class=WellFormedRoute)

    def encoder_of(name: str | None) -> EncoderModel | None:
        return encoders.named.get(name or "")

    def find_chat(name: str | None) -> ServedModel:
        if encoder_of(name) is not None:
            raise no_model(models, name)
        return find(models, name)

    async def prompt_ids(model: ServedModel, body: TemplateRequest) -> list[int]:
        (question, *_), _ = chat_questions(body, model_info(await model.facts()))
        return list(await model.prompt_ids(question))

    @router.post("/tokenize")
    async def tokenize(body: TokenizeRequest | TemplateRequest) -> dict[str, Any]:
        if isinstance(body, TokenizeRequest) and (encoder := encoder_of(body.model)):
            ids = await encoders.beside(encoder.ids, body.content, body.add_special)
            return {"tokens": ids, "count": len(ids), "max_model_len": encoder.max_tokens}
        model = find_chat(body.model)
        if isinstance(body, TemplateRequest):
            ids = await prompt_ids(model, body)
        else:
            beginning = await model.prompt_ids(Question(prompt="")) if body.add_special else []
            ids = [*beginning, *await model.encode(body.content, body.parse_special)]
        return {"tokens": ids, "count": len(ids), "max_model_len": (await model.facts()).context_length}

    @router.get("/tokenizer_info")
    async def tokenizer_info(model: str | None = None) -> dict[str, Any]:
        facts = await find_chat(model).facts()
        return {**facts.special_tokens, "chat_template": facts.chat_template, "model_max_length": facts.context_length}

    @router.post("/detokenize")
    async def detokenize(body: DetokenizeRequest) -> dict[str, str]:
        if encoder := encoder_of(body.model):
            text = await encoders.beside(encoder.text, body.tokens)
        else:
            text = await find(models, body.model).decode(body.tokens)
        return {"content": text, "prompt": text}

    @router.post("/apply-template")
    async def apply_template(body: TemplateRequest) -> dict[str, str]:
        model = find_chat(body.model)
        return {"prompt": await model.decode(await prompt_ids(model, body))}

    return router
