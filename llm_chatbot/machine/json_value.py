"""JSON texts of others → values that are JSON again when they are written.

Python's own reader takes NaN and infinities, and makes an infinity of a number that a float can't hold, such as 1e400.
https://www.rfc-editor.org/rfc/rfc8259#section-6
"""

import json
import sys
from typing import Any, NoReturn


def json_value(text: str | bytes) -> Any:
    """The value of a JSON text; its numbers are finite.

    Raises:
        json.JSONDecodeError: it is no JSON, or nested too deeply.
    """
    try:
        return json.loads(text, parse_float=finite, parse_constant=no_number)
    except RecursionError as error:
        raise json.JSONDecodeError("nested too deeply", "", 0) from error


def finite(number: str) -> float:
    """A number of a JSON text; beyond what a float can be, the largest or the smallest."""
    return max(-sys.float_info.max, min(float(number), sys.float_info.max))


def no_number(constant: str) -> NoReturn:
    """Refuses NaN and infinities."""
    raise json.JSONDecodeError(f"{constant} is no JSON", "", 0)
