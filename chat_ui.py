"""The chat page: `make_demo` from a notebook or a script, `python chat_ui.py --help` from a shell.

The page is in `llm_chatbot/page/`; the command is `llm_chatbot/commands/chat.py`.
"""

import sys

from llm_chatbot.commands.chat import main, make_demo

__all__ = ["main", "make_demo"]

if __name__ == "__main__":
    sys.exit(main())
