"""The tasks of the clients, and how a client's script says what it did.

This file is read by the scripts, which run in an environment of their own, so it needs nothing but Python.
"""

import json
import os
import traceback
from collections.abc import Callable
from typing import Any

URL = os.environ.get("SERVER", "http://127.0.0.1:8000")
MODEL = os.environ.get("MODEL", "smollm2-135m-instruct")
ENCODER = os.environ.get("ENCODER", "all-minilm-l6-v2")

QUESTION = "What is the capital of France? Answer in one sentence."
MESSAGES = [{"role": "user", "content": QUESTION}]
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"city": {"type": "string", "enum": ["Paris", "Rome"]}, "capital": {"type": "boolean"}},
    "required": ["city", "capital"],
    "additionalProperties": False,
}
FUNCTION = {"name": "weather", "description": "The weather in a city.", "parameters": SCHEMA}


def matches(value: Any) -> None:
    """Checks what was asked for with `SCHEMA`."""
    value = json.loads(value) if isinstance(value, str) else value
    assert set(value) == {"city", "capital"} and value["city"] in ("Paris", "Rome"), value


def report(**checks: Callable[[], Any]) -> None:
    """Runs each check and prints a line of JSON: its name, and what went wrong or nothing."""
    for name, check in checks.items():
        try:
            check()
            fault = ""
        except Exception as error:  # whatever a client raises is what it did
            traceback.print_exc()
            fault = f"{type(error).__name__}: {error}"[:200]
        print(json.dumps({"check": name, "fault": fault}), flush=True)
