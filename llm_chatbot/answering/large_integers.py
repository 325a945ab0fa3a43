"""Regular expressions of integers, exact to any size: llguidance's own are of bounds that a 64-bit float can hold."""

from typing import Any

# Above this a 64-bit float doesn't hold every integer.
LARGEST_EXACT = 2**53


def is_large(value: Any) -> bool:
    """Whether a JSON value is or has an integer that a 64-bit float may not hold."""
    if isinstance(value, dict):
        return any(map(is_large, value.values()))
    if isinstance(value, list):
        return any(map(is_large, value))
    return isinstance(value, int) and abs(value) > LARGEST_EXACT


def integer_pattern(low: int | None, high: int | None) -> str:
    """The rule for the integers from `low` to `high`, both included; None for no bound. Empty if there are none."""
    parts = []
    if low is None or low < 0:
        largest = -1 if high is None else min(high, -1)
        digits = _natural_pattern(-largest, None if low is None else -low)
        parts += [f"-{digits}"] if digits else []
    if high is None or high >= 0:
        digits = _natural_pattern(max(low or 0, 0), high)
        parts += [digits] if digits else []
    return f"({'|'.join(parts)})" if parts else ""


def _natural_pattern(low: int, high: int | None) -> str:
    if high is not None and high < low:
        return ""
    shortest, longest = len(str(low)), len(str(low if high is None else high))
    if shortest == longest:
        parts = [_digits(str(low), "9" * longest if high is None else str(high))]
    else:
        parts = [_digits(str(low), "9" * shortest), _digits(f"1{'0' * (longest - 1)}", str(high))]
        if longest - shortest > 1:
            parts.append(f"[1-9][0-9]{{{shortest},{longest - 2}}}")
    if high is None:
        parts.append(f"[1-9][0-9]{{{longest},}}")
    return f"({'|'.join(parts)})"


def _digits(low: str, high: str) -> str:
    """The rule for the texts of as many digits from `low` to `high`."""
    if not low:
        return ""
    if low[0] == high[0]:
        return low[0] + _digits(low[1:], high[1:])
    size = len(low) - 1
    least, most = "0" * size, "9" * size
    first, last, parts = int(low[0]), int(high[0]), []
    if low[1:] != least:
        parts.append(low[0] + _digits(low[1:], most))
        first += 1
    if high[1:] != most:
        parts.append(high[0] + _digits(least, high[1:]))
        last -= 1
    if first <= last:
        parts.append(f"[{first}-{last}]" + (f"[0-9]{{{size}}}" if size else ""))
    return f"({'|'.join(parts)})"
