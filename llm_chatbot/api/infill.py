"""Filling in what is missing in a text: `/infill` as llama.cpp's server has it, and `suffix` in Completions.

https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from fastapi import APIRouter, Request
from pydantic import Field, model_validator
from starlette.responses import Response

from llm_chatbot.answering.question import Question
from llm_chatbot.answering.served import ServedFacts, ServedModel
from llm_chatbot.api.calls import completion_questions
from llm_chatbot.api.chat_messages import Body
from llm_chatbot.api.error_forms import error_body
from llm_chatbot.api.errors import APIError
from llm_chatbot.api.find_model import find
from llm_chatbot.api.json_request import WellFormedRoute
from llm_chatbot.api.metrics import Metrics
from llm_chatbot.api.model_info import model_info
from llm_chatbot.api.number_types import NO_LIMIT
from llm_chatbot.api.requests import CommonRequest, CompletionRequest
from llm_chatbot.api.respond import respond
from llm_chatbot.api.responses import JSON, Choice, Content, Writer
from llm_chatbot.engine.text.infill import InfillTokens

MAX_EXTRAS = 256

# What begins a further text where the model has no token for files: as in llama.cpp.
SNIPPET = "\n\n--- snippet ---\n\n"

# Fields of llama.cpp's: names that are other ones here, and hints for its own ways to sample and to end.
INFILL_FIELDS = {"n_predict": "max_tokens", "repeat_penalty": "repetition_penalty"}
HINTS = {"id_slot", "n_indent", "response_fields", "samplers", "t_max_predict_ms", "t_max_prompt_ms"}


class Extra(Body):
    text: str
    filename: str = "tmp"


class InfillRequest(CommonRequest):
    """`prompt` is what of the missing text is there already."""

    input_prefix: str = ""
    input_suffix: str = ""
    input_extra: list[Extra] = Field([], max_length=MAX_EXTRAS)
    prompt: str = ""

    @model_validator(mode="before")
    @classmethod
    def _rename(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        return {INFILL_FIELDS.get(name, name): value for name, value in values.items() if name not in HINTS}

    def as_completion(self) -> CompletionRequest:
        fields = self.model_dump(exclude={"input_prefix", "input_suffix", "input_extra"}, exclude_unset=True)
        return CompletionRequest.model_validate({"max_tokens": NO_LIMIT, **fields, "n": 1, "prompt": ""})


class InfillWriter(Writer):
    """Writes the answers in the form of llama.cpp's own completions.

    Args:
        model: its name.
        choice: the one answer.
    """

    def __init__(self, model: str, choice: Choice) -> None:
        self.model, self.choices = model, [choice]

    def begin(self) -> list[JSON]:
        return []

    def chunks(self, index: int, new: Content) -> list[JSON]:
        return [self._body(new.text, stop=False)] if new.text else []

    def end(self) -> list[JSON]:
        return [self._body("", stop=True)]

    def failure(self, error: APIError) -> list[JSON]:
        return [error_body(str(error), error.status, error.param, error.code)]

    def whole(self) -> JSON:
        return self._body(self.choices[0].content.text, stop=True)

    def _body(self, text: str, stop: bool) -> JSON:
        body: JSON = {"index": 0, "content": text, "stop": stop, "model": self.model}
        if not stop:
            return body
        (choice,) = self.choices
        word = choice.answer.stopped_by if choice.answer else ""
        return {
            **body,
            "tokens_predicted": choice.counts.completion,
            "tokens_evaluated": choice.counts.prompt - choice.counts.cached,
            "tokens_cached": choice.counts.cached,
            "truncated": False,
            "stop_type": "limit" if choice.finish_reason == "length" else "word" if word else "eos",
            "stopping_word": word,
        }


def infill_router(models: Mapping[str, ServedModel], metrics: Metrics) -> APIRouter:
    """The route of these models."""
    router = APIRouter(route_class=WellFormedRoute)

    @router.post("/infill")
    async def infill(body: InfillRequest, request: Request) -> Response:
        model = find(models, body.model)
        facts = await model.facts()
        tokens = checked_tokens(facts, "input_suffix")
        extra = await extra_ids(model, tokens, body.input_extra)
        ids = await middle_ids(model, tokens, body.input_prefix, body.input_suffix)
        begun = await model.encode(body.prompt, control_tokens=False)
        questions = filled_in(body.as_completion(), facts, [[*await beginning(model), *extra, *ids, *begun]])
        writer = InfillWriter(facts.name, Choice(raw=True))
        return await respond(request, body, [model.generate(question) for question in questions], writer, metrics)

    return router


async def suffix_questions(body: CompletionRequest, model: ServedModel) -> list[Question]:
    """The questions of a request of Completions whose texts have something behind them.

    Raises:
        APIError: the model fills in nothing, or a prompt is no text.
    """
    facts = await model.facts()
    tokens = checked_tokens(facts, "suffix")
    if body.echo or not all(isinstance(prompt, str) for prompt in body.prompts):
        raise APIError("api.suffix", param="suffix", code="unsupported_parameter")
    first = await beginning(model)
    prompts = [[*first, *await middle_ids(model, tokens, str(prompt), body.suffix)] for prompt in body.prompts]
    return filled_in(body, facts, prompts)


def filled_in(body: CompletionRequest, facts: ServedFacts, prompts: Sequence[Sequence[int]]) -> list[Question]:
    """The questions of a request with other prompts, which end with what ends a text that is filled in."""
    assert facts.infill is not None
    questions = completion_questions(body.model_copy(update={"prompt": list(map(list, prompts))}), model_info(facts))
    ends = facts.infill.ends
    return [replace(each, generation=replace(each.generation, end_ids=ends)) for each in questions]


def checked_tokens(facts: ServedFacts, param: str) -> InfillTokens:
    if facts.infill is None:
        raise APIError("api.no_infill", param=param, code="unsupported_parameter", name=facts.name)
    return facts.infill


async def beginning(model: ServedModel) -> Sequence[int]:
    """The ids that begin every text, such as BOS."""
    return await model.prompt_ids(Question(prompt=""))


async def middle_ids(model: ServedModel, tokens: InfillTokens, prefix: str, suffix: str) -> list[int]:
    """The texts in front and behind, up to where the middle begins."""
    before, after = [await model.encode(text, control_tokens=False) for text in (prefix, suffix)]
    return [tokens.prefix, *before, tokens.suffix, *after, tokens.middle]


async def extra_ids(model: ServedModel, tokens: InfillTokens, extras: Sequence[Extra]) -> list[int]:
    """Further texts for a model to look at, in the order and form of llama.cpp."""
    ids: list[int] = []

    async def add(text: str, mark: int | None = None) -> None:
        ids.extend([] if mark is None else [mark])
        ids.extend(await model.encode(text, control_tokens=False))

    if extras and tokens.repository is not None:
        await add("myproject\n", tokens.repository)
    for extra in extras:
        await add(SNIPPET if tokens.file is None else f"{extra.filename}\n", tokens.file)
        await add(extra.text)
    if extras and tokens.file is not None:
        await add("filename\n", tokens.file)
    return ids
