"""Whole answers against the schemas that they were asked for with.

jsonschema-rs keeps integers exact, bounds the work of patterns, and fetches nothing.
"""

import json
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING
from uuid import uuid4

from llm_chatbot.answering.errors import GrammarError
from llm_chatbot.answering.question import Question
from llm_chatbot.answering.schemas import Schema
from llm_chatbot.api.errors import APIError
from llm_chatbot.api.responses import Choice, Content
from llm_chatbot.engine.session import Answer
from llm_chatbot.machine.json_value import json_value
from llm_chatbot.texts import Text

if TYPE_CHECKING:
    from jsonschema_rs import Validator

# A pattern with a look-around may go back this often; one without takes linear time.
MOST_BACKTRACKS = 100_000

# An answer that is asked for again is sampled at least so freely: the likeliest one would be the same.
TEMPERATURE_AGAIN = 0.5


@dataclass(frozen=True)
class AnswerCheck:
    """The schemas that a whole answer has to match.

    Attributes:
        text: for the JSON text of an answer without calls; None: it has to have a call.
        arguments: for the arguments of calls, by the names of the functions.
        unmasked: the keywords of the schemas that nothing but this check keeps.
    """

    text: "Validator | None" = None
    arguments: "Mapping[str, Validator]" = field(default_factory=dict)
    unmasked: frozenset[str] = frozenset()

    @property
    def param(self) -> str | None:
        """The field of the request that the schemas come from; None: there are several."""
        if self.text is None:
            return "tools"
        return None if self.arguments else "response_format"

    def fault(self, content: Content) -> Text | None:
        """Why the answer doesn't match; None if it does."""
        if not content.calls:
            return Text("api.no_call") if self.text is None else _fault(self.text, content.text)
        checked = [call for call in content.calls if call.name in self.arguments]
        faults = (_fault(self.arguments[call.name], call.arguments) for call in checked)
        return next(filter(None, faults), None)


def _fault(validator: "Validator", text: str) -> Text | None:
    from jsonschema_rs import ValidationError

    try:
        validator.validate(json_value(text))
    except ValidationError as error:
        place = "".join(f"/{part}" for part in error.instance_path)
        return Text("api.fault_at", fault=error.message[:300], place=place or "/")
    except json.JSONDecodeError:
        return Text("api.no_json")
    return None


async def checked_answers(
    generate: Callable[[Question], AsyncGenerator[Answer, None]],
    question: Question,
    check: AnswerCheck | None,
    new_choice: Callable[[], Choice],
) -> AsyncGenerator[Answer, None]:
    """Yields the states of an answer. Its last one is a whole answer that matches, or one that was cut off.

    Where the mask leaves something to the check, the text is held back until it is whole, and an answer that doesn't
    match is asked for once more.

    Args:
        generate: as that of `llm_chatbot.answering.served.ServedModel`.
        new_choice: makes what reads the answer.

    Raises:
        APIError: the answer doesn't match.
    """
    fault = None
    for asked in [question] if check is None or not check.unmasked else [question, _again(question)]:
        choice, fault = new_choice(), None
        async with aclosing(naming_errors(generate(asked), check)) as answers:
            async for answer in answers:
                choice.update(answer)
                ended = choice.finish_reason is not None
                if ended and check is not None and answer.finish_reason != "length":
                    fault = check.fault(choice.content)
                if fault is not None:
                    break
                held_back = check is not None and check.unmasked and not ended
                yield replace(answer, text="", later_reasoning="", tokens=()) if held_back else answer
        if fault is None:
            return
    raise APIError("api.schema_not_matched", 500, code="schema_not_matched", fault=fault)


async def naming_errors(
    answers: AsyncGenerator[Answer, None], check: AnswerCheck | None
) -> AsyncGenerator[Answer, None]:
    """The answers; an error of their grammar names the field of the request that it comes from."""
    async with aclosing(answers):
        try:
            async for answer in answers:
                yield answer
        except GrammarError as error:
            raise APIError("verbatim", param=check.param if check else None, text=error) from error


def _again(question: Question) -> Question:
    """The same question with other random numbers."""
    before = question.generation
    seed = None if before.seed is None else (before.seed + 2**62) % 2**63
    generation = replace(before, temperature=max(before.temperature, TEMPERATURE_AGAIN), seed=seed)
    return replace(question, generation=generation, id=uuid4().hex)


def schema_validator(schema: Schema, param: str) -> "Validator":
    """
    Args:
        schema: one of 2020-12; see `llm_chatbot.answering.schemas.standalone`.
        param: the field of the request that it comes from.

    Raises:
        APIError: it is not valid, or refers to what isn't in it.
    """
    from jsonschema_rs import Draft202012Validator, FancyRegexOptions, ValidationError

    options = FancyRegexOptions(backtrack_limit=MOST_BACKTRACKS)
    try:
        return Draft202012Validator(schema, validate_formats=False, offline=True, pattern_options=options)
    except ValidationError as error:
        place = "".join(f"/{part}" for part in error.instance_path)
        reason = f"{error.message[:300]}{', at ' if place else ''}{place}"
        code = "invalid_value"
        raise APIError("api.schema_invalid", param=param, code=code, field=repr(param), reason=reason) from error
