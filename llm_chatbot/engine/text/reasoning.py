"""The reasoning that an answer may begin with: its marks, and where it begins and ends.

Outside of a prompt and the tokens of an answer, reasoning stands between `<think>` and `</think>`, whatever marks the
model writes itself.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import dropwhile

from llm_chatbot.engine.text.history import Message
from llm_chatbot.engine.text.tokenizer import ChatTokenizer

# Delimiters of most models' reasoning: https://qwen.readthedocs.io/en/latest/getting_started/concepts.html
REASONING_START, REASONING_END = "<think>", "</think>"

# A mark that opens reasoning, as its own name says.
_OPENING = re.compile(
    r"(?P<left><\||<|\[|◁)(?P<name>[\w:|]*?(?:think|thought|reason)[\w:]*)(?P<right>\|>|>|\]|▷)", re.I
)

# How the name of what closes it is made of the name of what opens it.
_CLOSING_NAMES = (("start", "end"), ("START", "END"), ("begin", "end"), ("BEGIN", "END"))

# Elements in which a model puts its answer, after reasoning between other marks: Hunyuan A13B's and ERNIE 4.5's.
_ANSWER_MARKS = (("<answer>", "</answer>"), ("<response>", "</response>"))

# How many of a prompt's last tokens may be a mark that begins the answer.
_LAST_TOKENS = 12


@dataclass(frozen=True)
class ReasoningMarks:
    """How a model marks its reasoning.

    Attributes:
        start, end: the texts before and after it.
        answer_start, answer_end: those around the answer that follows it; empty if there are none.
    """

    start: str = REASONING_START
    end: str = REASONING_END
    answer_start: str = ""
    answer_end: str = ""

    @property
    def own(self) -> tuple[str, ...]:
        """Those that are read into something else, or into nothing."""
        marks = () if self.start == REASONING_START else (self.start, self.end)
        return (*marks, *filter(None, (self.answer_start, self.answer_end)))

    def shown(self, text: str) -> str:
        """An answer, or its beginning, with the reasoning between `<think>` and `</think>`."""
        begun = text.lstrip()
        opening = next((mark for mark in (self.start, REASONING_START) if begun.startswith(mark)), "")
        if not self.own or not opening:
            return text
        reasoning, end, said = begun.removeprefix(opening).partition(self.end)
        before, closed = text[: len(text) - len(begun)], REASONING_END if end else ""
        return f"{before}{REASONING_START}{reasoning}{closed}{self._without_answer_marks(said)}"

    def _without_answer_marks(self, said: str) -> str:
        begun = said.lstrip()
        if not self.answer_start or not begun.startswith(self.answer_start):
            return said
        answer = begun.removeprefix(self.answer_start).lstrip()
        if answer.rstrip().endswith(self.answer_end):
            answer = answer[: answer.rfind(self.answer_end)]
        return said[: len(said) - len(begun)] + answer

    def written(self, mark: str) -> str:
        """A mark as the model writes it."""
        return {REASONING_START: self.start, REASONING_END: self.end}.get(mark, mark)


# Marks whose names don't say what they are, and marks that are more than a token.
_NAMED_OTHERWISE = (
    # https://ai.google.dev/gemma/docs/core/prompt-formatting-gemma4
    ReasoningMarks("<|channel>thought\n", "<channel|>"),
    # https://huggingface.co/swiss-ai/Apertus-8B-Instruct-2509
    ReasoningMarks("<|inner_prefix|>", "<|inner_suffix|>"),
    # https://huggingface.co/ibm-granite/granite-3.2-8b-instruct
    ReasoningMarks("Here is my thought process:", "Here is my response:"),
)


def reasoning_marks(tokenizer: ChatTokenizer) -> ReasoningMarks:
    """The marks of a model's reasoning, which stand in its chat template, or else among its added tokens."""
    return _marks(tokenizer, str(tokenizer.chat_template or ""))


def marks_in_template(template: object) -> ReasoningMarks | None:
    """The marks of reasoning in a chat template, or in several; None if there are none."""
    return _marks_in(str(template or ""))


def added_ids(tokenizer: ChatTokenizer, texts: Iterable[str]) -> Mapping[str, int]:
    """The special tokens in some texts, with their ids."""
    added = {token.content: id for id, token in tokenizer.added_tokens_decoder.items() if token.special}
    return {token: id for token, id in added.items() if any(token in text for text in texts)}


@lru_cache(maxsize=16)
def _marks(tokenizer: ChatTokenizer, template: str) -> ReasoningMarks:
    """As `reasoning_marks`. The template is a part of the key: a tokenizer may get another one."""
    return _marks_in(template) or _marks_in("\n".join(_added_tokens(tokenizer))) or ReasoningMarks()


def _marks_in(text: str) -> ReasoningMarks | None:
    if REASONING_END in text:
        answer = next((marks for marks in _ANSWER_MARKS if all(mark in text for mark in marks)), ("", ""))
        return ReasoningMarks(REASONING_START, REASONING_END, *answer)
    for marks in _NAMED_OTHERWISE:
        if marks.start.strip() in text.replace("\\n", "\n") and marks.end in text:
            return marks
    pairs = ((opening[0], _closing(opening, text)) for opening in _OPENING.finditer(text))
    return next((ReasoningMarks(start, end) for start, end in pairs if end), None)


def _closing(opening: re.Match[str], text: str) -> str:
    """The mark in a text that closes what another one opens; empty if there is none."""
    left, name, right = opening.groups()
    names = [f"/{name}", *(name.replace(begin, end) for begin, end in _CLOSING_NAMES if begin in name)]
    return next((mark for each in names if (mark := f"{left}{each}{right}") in text), "")


def _added_tokens(tokenizer: ChatTokenizer) -> Iterable[str]:
    return (token.content for token in tokenizer.added_tokens_decoder.values())


def begun_answer(tokenizer: ChatTokenizer, ids: Sequence[int]) -> str:
    """The part of the answer that the prompt already contains: the start of its reasoning, or nothing."""
    marks, end = reasoning_marks(tokenizer), _end_of(tokenizer, ids)
    start = end.rfind(marks.start)
    begun = end[start + len(marks.start) :]
    return REASONING_START + begun if start >= 0 and not begun.strip() else ""


def _end_of(tokenizer: ChatTokenizer, ids: Sequence[int]) -> str:
    """The text of a prompt's last tokens, without pictures."""
    return tokenizer.decode([id for id in ids[-_LAST_TOKENS:] if id >= 0])


def is_reasoning(text: str) -> bool:
    """Whether an answer has begun its reasoning, and not ended it."""
    return text.lstrip().startswith(REASONING_START) and REASONING_END not in text


def reasoning_opening(tokenizer: ChatTokenizer, ids: Sequence[int]) -> list[int]:
    """The mark that a model that thinks writes after a prompt without it; empty where it doesn't think.

    It is a token, or what the chat template has between `<` and `>` in letters.

    Args:
        tokenizer: the model's.
        ids: the prompt. One that contains the end of the reasoning wants none.
    """
    marks = reasoning_marks(tokenizer)
    if _end_of(tokenizer, ids).rstrip().endswith(marks.end) or begun_answer(tokenizer, ids):
        return []
    added = tokenizer.added_tokens_decoder
    opening = tokenizer(marks.start, add_special_tokens=False)["input_ids"]
    token = list(dropwhile(lambda token: token not in added, opening))
    is_text = marks.start.startswith("<") and marks_in_template(tokenizer.chat_template) is not None
    return token if token or not is_text else _within_text(tokenizer, marks.start)


def _within_text(tokenizer: ChatTokenizer, text: str) -> list[int]:
    """The ids of a text that begins a line; some tokenizers put a space before the first word of all."""
    before, both = (tokenizer(each, add_special_tokens=False)["input_ids"] for each in ("\n", f"\n{text}"))
    return both[len(before) :]


def reasoning_closing(tokenizer: ChatTokenizer) -> str:
    """The text that the model is made to end its reasoning with where that is too long."""
    end = reasoning_marks(tokenizer).end
    return end if end != REASONING_END and end in added_ids(tokenizer, [end]) else f"\n{end}\n\n"


def without_reasoning(message: Message, keep: bool) -> Message:
    """A message whose content is without the reasoning that an answer may begin with; `keep` puts it beside that."""
    content = message.get("content")
    if message["role"] != "assistant" or not isinstance(content, str):
        return {**message, "content": content}
    if not content.lstrip().startswith(REASONING_START):
        return message
    reasoning, _, answer = content.lstrip().removeprefix(REASONING_START).partition(REASONING_END)
    kept = {"reasoning_content": reasoning.strip()} if keep else {}
    if keep and not answer.strip():
        kept["thinking"] = reasoning.strip()  # gpt-oss's name for it, whose template takes one of both
    return {**message, **kept, "content": answer.lstrip()}
