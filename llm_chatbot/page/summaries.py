"""Summaries of the oldest messages of long conversations, which the model writes when it has nothing else to do."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from llm_chatbot.answering.pending import PendingAnswer
from llm_chatbot.answering.question import Question
from llm_chatbot.answering.service import Answering
from llm_chatbot.api.json_response import WellFormedJSONResponse
from llm_chatbot.engine.decode.generation import Generation
from llm_chatbot.engine.text.reasoning import without_reasoning
from llm_chatbot.page.background import question_after
from llm_chatbot.page.following import wait_for_end
from llm_chatbot.page.routes import guarded, request_json, summary, text

SUMMARY_REQUEST = (
    "Write a summary of our conversation so far, in its language, in at most 150 words. Keep names, numbers and "
    "decisions. Answer with the summary alone."
)
WITH_SUMMARY = " Keep what the summary of what was said before says."
MAX_SUMMARY_TOKENS = 400
# Without the penalty, small models say the same until they are cut.
SUMMARY_GENERATION = Generation(max_new_tokens=MAX_SUMMARY_TOKENS, repetition_penalty=1.1)
SUMMARY_SECONDS = 20.0  # of one request: proxies end those that take a minute


def summary_question(data: dict[str, Any]) -> Question:
    """The question to the model, after the messages that are to be summarised and the summary of those before them.

    Raises:
        UserError: the request has another form.
    """
    before = summary(data)
    return question_after(
        data,
        SUMMARY_REQUEST + (WITH_SUMMARY if before["summary"] else ""),
        SUMMARY_GENERATION,
        room=MAX_SUMMARY_TOKENS,  # a summary of all messages, or none
        is_private=data.get("private") is True,
        id=text(data, "id"),
        **before,
    )


def summary_of(pending: PendingAnswer) -> str | None:
    """The summary that an answer is; empty if it failed or was cut, None if another question took its place."""
    if pending.finish_reason == "cancelled":
        return None
    if pending.finish_reason != "stop" or pending.answer is None:
        return ""
    answer = {"role": "assistant", "content": pending.answer.text}
    return str(without_reasoning(answer, keep=False)["content"]).strip()


def summary_route(answering: Answering) -> Route:
    """`/page/summary`: messages, settings, model and an id → {"summary": text}, see `summary_of`; {}: ask again.

    The same id asks for the same summary.
    """

    async def summarise(request: Request) -> Response:
        pending = answering.ask(summary_question(await request_json(request)))
        has_ended = await wait_for_end(pending, SUMMARY_SECONDS)
        return WellFormedJSONResponse({"summary": summary_of(pending)} if has_ended else {})

    return Route("/page/summary", guarded(summarise), methods=["POST"])
