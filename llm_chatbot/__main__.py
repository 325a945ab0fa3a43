"""`python -m llm_chatbot` is `llm-chatbot`."""

import sys

from llm_chatbot.commands.main import main

sys.exit(main())
