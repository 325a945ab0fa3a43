"""`llm-chatbot`: one command with subcommands, each a module beside this one, imported when it is asked for."""

import sys
from collections.abc import Sequence
from importlib import import_module

from llm_chatbot import __version__
from llm_chatbot.commands.options import STOPPED, Caller, models_folder
from llm_chatbot.errors import UserError

# Name: (module, arguments put before the user's, help).
COMMANDS: dict[str, tuple[str, tuple[str, ...], str]] = {
    "chat": ("chat", (), "open the chat page in a browser"),
    "ask": ("ask", (), "ask one question, or talk, on the terminal"),
    "serve": ("serve", (), "serve a model with the APIs of OpenAI, Anthropic and Ollama"),
    "launch": ("launch", (), "run claude, codex or another program with a model that is served here"),
    "convert": ("convert", (), "convert a model to OpenVINO IR and compress its weights"),
    "list": ("convert", ("--list",), "list the catalogue and the models on this machine"),
    "info": ("convert", ("--info",), "say what a model and its conversion need"),
    "forget": ("forget", (), "delete what models have read and kept on the disk"),
    "knowledge": ("knowledge", (), "make collections of files, and find passages in them"),
    "measure": ("measure", (), "measure what compression costs: size, speed and quality"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    if not arguments or arguments[0] in ("-h", "--help"):
        print(usage_text())
        return 0
    if arguments[0] == "--version":
        print(f"llm-chatbot {__version__}")
        return 0
    name = arguments[0]
    if name not in COMMANDS:
        print(f"There is no command {name!r}; choose one of: {', '.join(COMMANDS)}.", file=sys.stderr)
        return 2
    module, first, _ = COMMANDS[name]
    try:
        caller = Caller(f"llm-chatbot {name}", models_folder(), converts=True)
        return import_module(f"llm_chatbot.commands.{module}").main([*first, *arguments[1:]], caller)
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return STOPPED


def usage_text() -> str:
    lines = [f"  {name:<10}{help}" for name, (_, _, help) in COMMANDS.items()]
    return "\n".join(
        [
            "usage: llm-chatbot COMMAND [OPTIONS]",
            "",
            "Run a chat model on this machine with OpenVINO.",
            "",
            *lines,
            "",
            "llm-chatbot COMMAND --help shows the options of a command.",
            f"Converted models are in {models_folder()}; LLM_CHATBOT_MODELS or --output names another folder.",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
