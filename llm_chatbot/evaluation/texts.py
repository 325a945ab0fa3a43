"""The texts that variants are compared on."""

from pathlib import Path

# Their sources are in the README beside them.
PASSAGES = Path(__file__).parent / "passages"


def passages() -> dict[str, str]:
    """The shipped passages by language: "en", "zh", "ja" and "code"."""
    return {name: (PASSAGES / f"{name}.txt").read_text(encoding="utf-8") for name in ("en", "zh", "ja", "code")}
