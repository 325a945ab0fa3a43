"""`llm-chatbot ask`: one answer on the terminal as it streams, or a conversation."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from llm_chatbot.catalogue.lookup import get_model_config
from llm_chatbot.catalogue.rows import DEFAULT_MODEL
from llm_chatbot.commands.options import (
    STOPPED,
    Caller,
    Parser,
    add_model_options,
    draft_options,
    leave_out_converters,
    memory_options,
    prepare,
    set_log_level,
)
from llm_chatbot.errors import UserError

if TYPE_CHECKING:
    from llm_chatbot.engine.session import ChatSession

CALLER = Caller("llm-chatbot ask", converts=True)


def main(argv: Sequence[str] | None = None, caller: Caller = CALLER) -> int:
    arguments = parser(caller).parse_intermixed_args(argv)
    set_log_level(arguments.log_level)
    if arguments.question is None and not sys.stdin.isatty():
        arguments.question = read_question()
    images = [read_image(path) for path in arguments.image]
    session = open_session(arguments, caller)
    if arguments.question is not None:
        return show_answer(session, arguments.question, arguments.max_new_tokens, images)
    for question in questions():
        show_answer(session, question, arguments.max_new_tokens, images)
        images = []
    return 0


def parser(caller: Caller = CALLER) -> Parser:
    parser = Parser(caller, "Ask one question, or talk: without a question, a conversation begins.")
    parser.add_argument("model", nargs="?", default=DEFAULT_MODEL, help=f"name of the model (default: {DEFAULT_MODEL})")
    parser.add_argument("question", nargs="?", help="without one, it is read from the standard input")
    parser.add_argument(
        "--image",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="a picture for the first question; may be given several times",
    )
    parser.add_argument("--max-new-tokens", type=int, help="most tokens of an answer (default: as the context allows)")
    add_model_options(parser, caller, named=False)
    return parser


def open_session(arguments: argparse.Namespace, caller: Caller) -> "ChatSession":
    """A conversation with the model that the arguments name.

    Raises:
        UserError: there is no such model or device, or it can't be converted.
    """
    config = get_model_config(arguments.model)
    prepare(arguments, caller)
    leave_out_converters()
    # Here, because wrong arguments are reported before the runtime is imported.
    from llm_chatbot.answering.model_files import model_files
    from llm_chatbot.engine.loading import open_model
    from llm_chatbot.engine.session import ChatSession

    files = model_files(arguments.model, arguments.precision, arguments.output, mmproj=arguments.mmproj)
    model = open_model(files, arguments.device, **memory_options(arguments), **draft_options(arguments))
    return ChatSession(model, files.tokenizer, config.system_prompt, config.chat_format)


def read_image(path: Path) -> bytes:
    """The bytes of a file.

    Raises:
        UserError: it can't be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError("command.no_image", path=path, reason=error.strerror) from error


def read_question() -> str:
    """The text in the standard input, without the line breaks at its end.

    `echo` and editors put one there. It is not part of the question, and a small model answers another one if it is.

    Raises:
        UserError: there is none, or it is not UTF-8.
    """
    try:
        question = sys.stdin.buffer.read().decode("utf-8-sig").rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise UserError("command.question_not_utf8") from error
    if not question.strip():
        raise UserError("command.no_question")
    return question


def questions() -> Iterator[str]:
    """The questions that somebody types, until the end of the input or Ctrl+C."""
    print("Ctrl+C stops an answer, and ends the conversation at the prompt.", file=sys.stderr)
    while True:
        try:
            question = input("> ")
        except (EOFError, KeyboardInterrupt):
            print()
            return
        if question.strip():
            yield question


def show_answer(session: "ChatSession", question: str, max_new_tokens: int | None, images: Sequence[bytes] = ()) -> int:
    """Prints an answer as it grows. Ctrl+C stops it; what was written stays in the conversation.

    Args:
        images: files with pictures, which belong to the question.

    Returns:
        0, or `STOPPED`.
    """
    shown = 0
    with closing(session.stream(question, images=images, max_new_tokens=max_new_tokens)) as answers:
        try:
            for answer in answers:
                print(answer.text[shown:], end="", flush=True)
                shown = len(answer.text)
        except KeyboardInterrupt:
            print()
            return STOPPED
    print()
    return 0
