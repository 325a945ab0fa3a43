"""The pictures of a request, which come with it: nothing is fetched from a network."""

import base64
import binascii
import re
from typing import Any

# What a data URL begins with; https://www.rfc-editor.org/rfc/rfc2397. The type is left to the bytes themselves.
DATA_URL = re.compile(r"data:[^,]*;base64,", re.IGNORECASE)


def data_url(content: Any, media_type: Any = None) -> str:
    """The data URL of a file in Base64."""
    return f"data:{media_type or 'image/*'};base64,{content}"


def file_of(url: Any) -> bytes:
    """The bytes of a file in a data URL.

    Raises:
        ValueError: it is none.
    """
    found = DATA_URL.match(url) if isinstance(url, str) else None
    if found is None:
        raise ValueError(
            "an image comes as a data URL, such as data:image/png;base64,…; nothing is fetched from elsewhere"
        )
    try:
        return base64.b64decode("".join(url[found.end() :].split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError("the image is not valid Base64") from error
