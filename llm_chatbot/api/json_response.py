"""JSON that every client reads: it is always UTF-8, and never more than a line to anybody."""

import json
from typing import Any

from starlette.responses import JSONResponse

from llm_chatbot.engine.text.control_tokens import well_formed

# Ends of lines for Python's `str.splitlines` and JavaScript of before 2019; JSON itself allows them in strings.
LINE_ENDS = {ord(character): f"\\u{ord(character):04x}" for character in "\u0085\u2028\u2029"}


def json_text(value: Any) -> str:
    """A value as JSON on one line. Halves of a character that belong together are joined; lone ones are U+FFFD.

    Raises:
        ValueError: it holds NaN or an infinity, which are no JSON.
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return well_formed(text).translate(LINE_ENDS)


class WellFormedJSONResponse(JSONResponse):
    """A response with the text that `json_text` makes."""

    def render(self, content: Any) -> bytes:
        return json_text(content).encode()
