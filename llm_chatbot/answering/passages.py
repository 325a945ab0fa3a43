"""The passages of a user's collections that an answer is given."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from llm_chatbot.answering.models import LoadedModel
from llm_chatbot.answering.question import Question
from llm_chatbot.engine.text.control_tokens import plain_ids
from llm_chatbot.engine.text.prompt import Message
from llm_chatbot.knowledge.collection import open_collection
from llm_chatbot.knowledge.prompt import SHARE, Quoted, quote, with_quotations
from llm_chatbot.knowledge.search import Searcher
from llm_chatbot.knowledge.tokens import estimate_tokens

MOST = 8  # passages of an answer
ASSUMED_CONTEXT = 4096  # tokens, where another server doesn't say how many it reads

FindPassages = Callable[[Question, LoadedModel], list[Quoted]]


class PassageFinder:
    """Finds the passages for a question in the collections that it names.

    Args:
        searcher: searches them.
        root: of all collections; None: the user's own.
    """

    def __init__(self, searcher: Searcher, root: Path | None = None) -> None:
        self._searcher, self._root = searcher, root

    def __call__(self, question: Question, loaded: LoadedModel) -> list[Quoted]:
        """The passages that fit, as many as a part of the model's context has room for; none, if none fits.

        Raises:
            UserError: a collection is gone, or can't be searched.
        """
        collections = [open_collection(id, self._root) for id in question.collections]
        found = self._searcher.search(collections, question.query, MOST)

        def count(text: str) -> int:
            return estimate_tokens([text])[0] if loaded.is_remote else len(plain_ids(loaded.tokenizer, text))

        return quote(found, count, int(SHARE * (loaded.context_length or ASSUMED_CONTEXT)))


def with_passages(question: Question, quoted: Sequence[Quoted]) -> Question:
    """The question with passages before its last message, as text like the rest of it."""
    messages = list(question.messages)
    last = max(place for place, message in enumerate(messages) if message["role"] == "user")
    content = messages[last]["content"]
    if isinstance(content, list):  # with pictures
        content = [{"type": "text", "text": with_quotations("", quoted)}, *content] if quoted else content
    else:
        content = with_quotations(content, quoted)
    messages[last] = Message(role="user", content=content)
    return replace(question, messages=messages)
