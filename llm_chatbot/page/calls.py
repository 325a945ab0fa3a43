"""The calls in an answer, and the state of a call that was allowed, for the browser."""

import hashlib
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from llm_chatbot.answering.pending import PendingAnswer
from llm_chatbot.engine.text.reasoning import REASONING_END, REASONING_START
from llm_chatbot.machine.json_value import json_value
from llm_chatbot.tools.calls import PendingCall

if TYPE_CHECKING:
    from llm_chatbot.api.tools import ToolCall

ID_LENGTH = 9  # letters and digits, as Mistral's template asks for


def text_and_calls(pending: PendingAnswer) -> tuple[str, list[dict[str, Any]]]:
    """The text of an answer besides its calls so far, and the calls.

    A call is {"id", "name", "arguments", "server", "tool"}; "begun" is True of one that is still written.
    """
    answer, offer, loaded = pending.answer, pending.offer, pending.loaded
    assert answer is not None and loaded is not None
    if offer is None or not offer.tools:
        return answer.text, []
    from llm_chatbot.api.tools import ToolParser  # for pages with tools alone
    from llm_chatbot.page.tools import format_of_calls

    reasoning, text = _split(answer.text)
    ended = answer.finish_reason is not None or pending.ended is not None
    tools = {one.function: one.tool for one in offer.tools}
    schemas = {function: tool.parameters for function, tool in tools.items()}
    parsed = ToolParser(format_of_calls(loaded), schemas).parse(text, ended)

    def described(place: int, call: "ToolCall") -> dict[str, Any]:
        tool = tools[call.name]
        id = hashlib.sha256(f"{pending.question.id}:{place}".encode()).hexdigest()[:ID_LENGTH]
        return {"id": id, "name": call.name, "server": tool.server, "tool": tool.name}

    calls = [
        {**described(place, call), "arguments": readable(call.arguments)} for place, call in enumerate(parsed.calls)
    ]
    if parsed.begun is not None and parsed.begun.name in tools:
        begun = parsed.begun
        calls.append({**described(len(calls), begun), "arguments": begun.arguments, "begun": True})
    return reasoning + parsed.text, calls


def readable(arguments: str) -> str:
    """A call's arguments as they are shown and, once they are allowed, sent: JSON on several lines."""
    try:
        return json.dumps(json_value(arguments), ensure_ascii=False, indent=2)
    except json.JSONDecodeError:
        return arguments


def asks_for_calls(pending: PendingAnswer, calls: Sequence[dict[str, Any]]) -> bool:
    """Whether an answer ended by asking for calls. One that was stopped or has failed asks for none."""
    return bool(calls) and pending.ended is not None and pending.finish_reason in ("stop", "length")


def call_state(pending: PendingCall) -> dict[str, Any]:
    """The state of a call that was allowed, in the form of an answer's."""
    state: dict[str, Any] = {"version": pending.version, "phase": "calling", "finish_reason": None}
    if pending.ended is None:
        return state
    state["phase"] = "ended"
    if pending.stopped:
        return {**state, "finish_reason": "cancelled"}
    if pending.result is None:
        return {**state, "finish_reason": "error"}
    result = pending.result
    reason = "failed" if result.is_error else "stop"
    return {**state, "finish_reason": reason, "from": 0, "text": result.text, "cut": result.left_out}


def _split(text: str) -> tuple[str, str]:
    """The reasoning that an answer begins with, with its marks, and the rest."""
    if not text.lstrip().startswith(REASONING_START):
        return "", text
    reasoning, mark, rest = text.partition(REASONING_END)
    return reasoning + mark, rest
