"""The command lines: `llm-chatbot` with its subcommands. Arguments are checked before anything slow is imported."""
