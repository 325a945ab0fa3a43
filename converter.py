"""Checkpoint → OpenVINO IR → compressed weights → a folder that Optimum Intel and OpenVINO GenAI load as it is.

    python converter.py smollm2-135m-instruct --precision INT4

writes `smollm2-135m-instruct/INT4_compressed_weights` here; `--help` lists all options. `convert_model` does the same
from Python. The steps of a conversion are in `llm_chatbot/convert/pipeline.py`, one line each.
"""

import sys
from typing import Any

from llm_chatbot.commands.convert import main
from llm_chatbot.convert.conversion import SETTINGS, convert_model, int4_settings

__all__ = ["SETTINGS", "convert_model", "int4_settings", "main"]


def __getattr__(name: str) -> Any:
    """`converters`, the registry of architectures that Transformers lacks, is imported when it is first asked for."""
    if name == "converters":
        from llm_chatbot.convert.checkpoint.architectures import converters

        return converters
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


if __name__ == "__main__":
    sys.exit(main())
