"""Titles of conversations, which the model writes when it has nothing else to do."""

import re

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
from llm_chatbot.page.routes import guarded, request_json

TITLE_REQUEST = (
    "Write a short title for this conversation, in its language, of at most eight words. Answer with the title alone."
)
MAX_WORDS, MAX_WIDE = 8, 24  # words; or characters of a language that has no spaces
TITLE_GENERATION = Generation(max_new_tokens=40)
TITLE_SECONDS = 30.0  # for the model to have nothing else to do

LABEL = re.compile(r"^(title|タイトル|标题|標題)\s*[:：]\s*", re.IGNORECASE)
AROUND_A_TITLE = " \t*_#`~>-\"'“”„«»‘’「」『』《》"  # quotes, and what Markdown has around a line
WIDE_LETTERS = re.compile(r"[\u2e80-\uffef]")


def title_in(text: str) -> str:
    """The title in what a model wrote: its first line, without quotes and Markdown, cut at `MAX_WORDS`."""
    said = without_reasoning({"role": "assistant", "content": text}, keep=False)["content"]
    lines = [line.strip(AROUND_A_TITLE) for line in said.splitlines()]
    line = LABEL.sub("", next(filter(None, lines), "")).strip(AROUND_A_TITLE)
    words = " ".join(line.split()[:MAX_WORDS])
    if len(WIDE_LETTERS.findall(words)) > len(words) / 2:
        words = words[:MAX_WIDE]
    return words.rstrip(".。,，;；:：" + AROUND_A_TITLE)


async def answered_in_background(answering: Answering, question: Question, seconds: float) -> str | None:
    """The answer to a question that waits until nothing else does.

    Returns:
        None: it wasn't answered within so many seconds, or another question took its place.
    """
    pending = answering.ask(question)
    try:
        await wait_for_end(pending, seconds)
        return whole_text(pending)
    finally:
        answering.forget(question.id)


def whole_text(pending: PendingAnswer) -> str | None:
    ended = pending.answer is not None and pending.finish_reason in ("stop", "length")
    return pending.answer.text if ended and pending.answer else None


def title_route(answering: Answering) -> Route:
    """`/page/title`: the first messages, settings and model of a conversation → {"title": text}; null: not now."""

    async def title(request: Request) -> Response:
        question = question_after(await request_json(request), TITLE_REQUEST, TITLE_GENERATION)
        text = await answered_in_background(answering, question, TITLE_SECONDS)
        return WellFormedJSONResponse({"title": None if text is None else title_in(text)})

    return Route("/page/title", guarded(title), methods=["POST"])
