"""API keys: where they come from, and who may ask."""

import hmac
import os
from collections.abc import Sequence
from pathlib import Path

from fastapi import Request

from llm_chatbot.api.errors import APIError
from llm_chatbot.errors import UserError

KEYS_VARIABLE = "LLM_CHATBOT_API_KEYS"


def read_keys(path: Path | None = None) -> list[str]:
    """The keys in a file, one a line, or separated by commas in the environment; none: everybody may ask.

    Raises:
        UserError: the file can't be read or has no key, or a key can't be in a header.
    """
    if path is None:
        keys = os.environ.get(KEYS_VARIABLE, "").split(",")
    else:
        try:
            keys = path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise UserError("api.keys_unreadable", path=path) from error
    keys = [key.strip() for key in keys if key.strip()]
    if path is not None and not keys:
        raise UserError("api.no_keys", path=path)
    if not all(key.isascii() and key.isprintable() and " " not in key for key in keys):
        raise UserError("api.key_form")
    return keys


class KeyCheck:
    """A dependency of FastAPI that refuses requests without one of the keys, in the header of OpenAI or Anthropic."""

    def __init__(self, keys: Sequence[str]) -> None:
        self._keys = [key.encode() for key in keys]

    async def __call__(self, request: Request) -> None:
        scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
        given = [bearer if scheme.lower() == "bearer" else "", request.headers.get("x-api-key", "")]
        if self._keys and not any(self._is_known(key.strip().encode()) for key in given):
            raise APIError("api.unknown_key", 401, code="invalid_api_key")

    def _is_known(self, given: bytes) -> bool:
        """Compares with every key, each in a time that doesn't depend on how much of it is right."""
        matches = [hmac.compare_digest(given, key) for key in self._keys]
        return any(matches)
