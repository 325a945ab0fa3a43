"""OpenAI's Harmony, in which an answer is a row of messages on channels.

https://developers.openai.com/cookbook/articles/openai-harmony

A message is a header, `<|message|>` and a body. The header has a role, a channel, `to=` with who is addressed, and
after `<|constrain|>` the type of the body. The channel "analysis" is reasoning, "commentary" and "final" are for the
reader, and what is addressed to a function is a call. The prompt contains the first `<|start|>assistant`.
"""

import json

from llm_chatbot.engine.text.tokenizer import ChatTokenizer
from llm_chatbot.machine.json_value import json_value

START, CHANNEL, CONSTRAIN, MESSAGE = "<|start|>", "<|channel|>", "<|constrain|>", "<|message|>"
END, CALL, RETURN = "<|end|>", "<|call|>", "<|return|>"
CHANNEL_MARKS = (START, CHANNEL, CONSTRAIN, MESSAGE, END, CALL, RETURN)

ASSISTANT, REASONING, FINAL = "assistant", "analysis", "final"
ADDRESSED, FUNCTIONS = "to=", "functions."

# What is written between the reasoning and the answer: marks, and the text after each.
FINAL_BEGUN = ((END, ""), (START, ASSISTANT), (CHANNEL, FINAL), (MESSAGE, ""))


def writes_channels(chat_template: object) -> bool:
    """Whether a model with this chat template, or these, answers on channels."""
    return all(mark in str(chat_template) for mark in (START, CHANNEL, MESSAGE))


def channel_marks(tokenizer: ChatTokenizer) -> dict[int, str]:
    """The marks of channels by their ids; empty for a model that doesn't answer on channels."""
    if not writes_channels(tokenizer.chat_template):
        return {}
    added = {id: token.content for id, token in tokenizer.added_tokens_decoder.items()}
    return {id: content for id, content in added.items() if content in CHANNEL_MARKS}


class ChannelReader:
    """Reads an answer on channels into the form that other models write.

    That is `<think>`, the reasoning and `</think>`, then what is said, and calls as in Hermes. What `mark` and `text`
    return is appended to it.

    Attributes:
        is_reasoning: whether a message of reasoning is open.
        is_over: whether a message of somebody else has begun, which the model made up.
        later_reasoning: the reasoning that came after the first words for the reader.
    """

    def __init__(self) -> None:
        self.is_reasoning = self.is_over = False
        self.later_reasoning = ""
        self._header: dict[str, str] | None = {START: ASSISTANT}  # what follows each of its marks; None in a body
        self._call: str | None = None  # the arguments so far of the call whose body is open
        self._between = ""  # what stands before the next text
        self._has_text = self._has_marks = False

    def mark(self, mark: str) -> str:
        """Reads a mark."""
        self._has_marks = True
        if mark == MESSAGE:
            return self._open()
        if self._header is None and mark == CONSTRAIN:
            return ""
        closed = self._close()
        if self._header is None or mark not in (CHANNEL, CONSTRAIN):
            self._header = {}
        self._header.setdefault(mark, "")
        return closed

    def text(self, piece: str) -> str:
        """Reads a piece of text between marks."""
        if self._header is not None:
            self._header[next(reversed(self._header))] += piece
            return "" if self._has_marks else self._opened_without_marks()
        if self._call is not None:
            self._call += piece
        if self.is_reasoning and self._has_text:
            self.later_reasoning += piece
            return ""
        return "" if self.is_over else piece

    def finish(self) -> str:
        """Ends the answer: a call whose arguments are complete is ended, because the mark that ends it is not read."""
        if not self._has_marks and self._header is not None:
            return self._opened_without_marks(is_last=True)
        return self._close() if _is_json(self._call) else ""

    def _opened_without_marks(self, is_last: bool = False) -> str:
        """The beginning of an answer that is a plain text, and not who is addressed."""
        assert self._header is not None
        begun = self._header[START].removeprefix(ASSISTANT)
        said = begun.lstrip()
        if said.startswith(ADDRESSED) or (ADDRESSED.startswith(said) and not is_last):
            return ""
        self._header = None
        return self._text_begins() + begun

    def _open(self) -> str:
        """Begins a body; the text before it."""
        if self._header is None:
            return ""
        sender = self._header.get(START, ASSISTANT).split()
        channel = self._header.get(CHANNEL, "").split()
        to = next((word.removeprefix(ADDRESSED) for word in (*sender, *channel) if word.startswith(ADDRESSED)), "")
        self._header = None
        if sender and sender[0] != ASSISTANT and not sender[0].startswith(ADDRESSED):
            self.is_over = True
            return ""
        if to.startswith(FUNCTIONS):
            self._call = ""
            name = json.dumps(to.removeprefix(FUNCTIONS), ensure_ascii=False)
            return f'{self._text_begins()}<tool_call>\n{{"name": {name}, "arguments": '
        if to or REASONING in channel[:1]:  # also what is for the tools of OpenAI's own servers
            self.is_reasoning = True
            return self._reasoning_begins()
        return self._text_begins()

    def _reasoning_begins(self) -> str:
        if self._has_text:
            self.later_reasoning += "\n\n" if self.later_reasoning else ""
            return ""
        before, self._between = "\n\n" if self._between else "<think>\n", "\n</think>\n\n"
        return before

    def _text_begins(self) -> str:
        before, self._between, self._has_text = self._between, "\n\n", True
        return before

    def _close(self) -> str:
        """Ends the body, if one is open; the text after it."""
        arguments, self._call, self.is_reasoning = self._call, None, False
        if arguments is None:
            return ""
        self._between = ""  # a call stands for itself
        return f"{'' if arguments.strip() else '{}'}}}\n</tool_call>"


def on_channels(answer: str) -> list[tuple[str, str]]:
    """An answer as a model writes it on channels, up to where it goes on: marks, and the text after each.

    Args:
        answer: as `ChannelReader` reads it.
    """
    before, mark, rest = answer.partition("<think>")
    if before.strip() or not mark:
        return [(CHANNEL, FINAL), (MESSAGE, answer)]
    reasoning, ended, said = rest.partition("</think>")
    reasoning = reasoning.removeprefix("\n")
    if not ended:
        return [(CHANNEL, REASONING), (MESSAGE, reasoning)]
    *begun, (mark, _) = FINAL_BEGUN
    thought = [(CHANNEL, REASONING), (MESSAGE, reasoning.removesuffix("\n"))]
    return [*thought, *begun, (mark, said.removeprefix("\n\n"))]


def _is_json(text: str | None) -> bool:
    try:
        json_value(text or "")
    except json.JSONDecodeError:
        return False
    return True
