"""An answer, or a call of a tool, as the browser follows it."""

import asyncio
import logging
import math
import time
from contextlib import suppress
from typing import Any

from llm_chatbot.answering.pending import PendingAnswer, changes_of
from llm_chatbot.answering.served import until_end
from llm_chatbot.answering.service import Answering
from llm_chatbot.api.json_response import json_text
from llm_chatbot.engine.decode.logprobs import TokenChoice
from llm_chatbot.engine.session import Answer
from llm_chatbot.errors import UserError
from llm_chatbot.page.calls import asks_for_calls, call_state, text_and_calls
from llm_chatbot.page.messages import figures_of
from llm_chatbot.texts import Text
from llm_chatbot.tools.calls import Calls, PendingCall

logger = logging.getLogger(__name__)

# Seconds that `follow` waits for news, and for more of them once there are some.
FOLLOW_SECONDS, UPDATE_INTERVAL = 1.0, 0.05

Known = dict[str, dict[str, int]]  # by an answer's id: the version that the browser has, and how much of the text


async def follow(answering: Answering, known: Known, calls: Calls | None = None) -> dict[str, Any]:
    """The states of these answers and calls, once one of them has changed, or after `FOLLOW_SECONDS`.

    Args:
        known: what the browser has of each answer: its "version", and the numbers of characters ("text") and of
            "tokens".
        calls: of tools; None: there are none.

    Returns:
        By id; None for an answer that isn't known.
    """
    pendings = [pending for id in known if (pending := find_followed(answering, calls, id)) is not None]
    with changes_of(pendings) as changed:
        if not has_news(answering, calls, known):
            with suppress(TimeoutError):
                await asyncio.wait_for(changed.wait(), FOLLOW_SECONDS)
                await asyncio.sleep(UPDATE_INTERVAL)  # a thread writes faster than a browser draws
    return {
        id: sendable_state(answering, id, has.get("text", 0), has.get("tokens", 0), calls) for id, has in known.items()
    }


async def wait_for_end(pending: PendingAnswer, seconds: float) -> bool:
    """Waits until an answer has ended, so many seconds at most.

    Returns:
        Whether it has.
    """
    with changes_of([pending]) as changed:
        await until_end(pending, changed, seconds)
    return pending.ended is not None


def find_followed(answering: Answering, calls: Calls | None, id: str) -> PendingAnswer | PendingCall | None:
    return answering.get(id) or (calls.get(id) if calls else None)


def has_news(answering: Answering, calls: Calls | None, known: Known) -> bool:
    for id, has in known.items():
        pending = find_followed(answering, calls, id)
        if pending is None or pending.version != has.get("version"):
            return True
    return False


def sendable_state(
    answering: Answering, id: str, known_text: int, known_tokens: int, calls: Calls | None = None
) -> dict[str, Any] | None:
    """`state`, or its error: a browser follows all its answers with one request, which no answer may spoil."""
    try:
        sent = state(answering, id, known_text, known_tokens, calls)
        json_text(sent)
        return sent
    except Exception as error:  # a bug of ours: this answer ends with a sentence, and the log says where
        logger.exception("The state of an answer can't be sent.")
        return {"version": 0, "phase": "ended", "finish_reason": "error", "error": described(error)}


def state(
    answering: Answering, id: str, known_text: int = 0, known_tokens: int = 0, calls: Calls | None = None
) -> dict[str, Any] | None:
    """An answer or a call as the page follows it; None if it isn't known (any more).

    Args:
        known_text, known_tokens: how many characters and tokens the page has already.
    """
    pending = find_followed(answering, calls, id)
    if pending is None:
        return None
    if isinstance(pending, PendingCall):
        error = {"error": described(pending.error)} if pending.error else {}
        return {**call_state(pending), **error}
    place = answering.place(pending)
    return {"version": pending.version, "place": place, **snapshot(pending, known_text, known_tokens)}


def snapshot(pending: PendingAnswer, known_text: int, known_tokens: int) -> dict[str, Any]:
    """The state of an answer for the page, without its place in the queue."""
    ended, answer = pending.ended is not None, pending.answer
    state: dict[str, Any] = {"finish_reason": pending.finish_reason, "phase": pending.phase}
    if pending.loaded is not None:
        state["model"] = pending.loaded.title
    if answer is not None and pending.loaded is not None:
        context = {"context_length": pending.loaded.context_length, "waited": pending.waited}
        figures = {**figures_of(answer), **context}
        text, calls = text_and_calls(pending)
        state |= {"from": known_text, "text": text[known_text:], "figures": figures}
        if calls:
            state["calls"] = calls
        if asks_for_calls(pending, calls):
            state["finish_reason"] = "tool_calls"
        state["left_out"] = answer.dropped_turns
        state["reading"] = reading(pending, answer)
        if answer.tokens:
            state |= {"tokens_from": known_tokens, "tokens": [chosen(token) for token in answer.tokens[known_tokens:]]}
        if ended:  # whatever the page has, it is replaced
            state |= {"from": 0, "text": text}
    if pending.question.summarised:
        state["summarised"] = pending.question.summarised
    if pending.passages is not None:
        state["passages"] = [passage.as_json() for passage in pending.passages]
    if pending.offer is not None and pending.offer.faults:
        state["not_offered"] = [fault.as_json() for fault in pending.offer.faults]
    if pending.error is not None:
        state["error"] = described(pending.error)
    return state


def reading(pending: PendingAnswer, answer: Answer) -> dict[str, float | None]:
    """How much of the prompt has been read, of how much, and the seconds left at the speed so far."""
    read, total = answer.read_tokens, answer.prompt_tokens
    began, first = pending.first_read or (0.0, read)
    speed = (read - first) / max(time.monotonic() - began, 1e-3)
    return {"read": read, "total": total, "seconds": (total - read) / speed if speed else None}


def chosen(token: TokenChoice) -> list[Any]:
    """A token for the browser: its text, its probability, and the likeliest ones with theirs."""
    top = [[text, round(math.exp(logprob), 4)] for _, text, logprob, _ in token.top]
    return [token.text, round(math.exp(token.logprob), 4), top]


def described(error: Exception) -> dict[str, Any]:
    """An error as the page translates it; see `Text.as_json`."""
    if isinstance(error, UserError):
        return error.as_json()
    lines = str(error).strip().splitlines()
    return Text("failed", reason=lines[-1] if lines else type(error).__name__).as_json()
