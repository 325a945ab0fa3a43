"""The bytes of a picture → its pixels, within limits: whoever asks may send anything."""

import struct
from io import BytesIO

from PIL import Image, ImageOps, UnidentifiedImageError

from llm_chatbot.errors import UserError

# Formats that browsers and cameras write. Others of Pillow's run programs of their own, or are hardly ever met.
PICTURE_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")

# Of a picture as it is in its file, width × height: its pixels take 3 bytes each in memory.
MAX_PIXELS = 50_000_000

# What Pillow's readers raise for a file that is damaged or cut off.
DAMAGED = (UnidentifiedImageError, OSError, SyntaxError, ValueError, EOFError, IndexError, struct.error)


def decoded(data: bytes) -> Image.Image:
    """The picture in a file, as RGB and as people see it: cameras may note that it is to be turned. Of one that moves,
    the first frame.

    Raises:
        UserError: it is damaged, of an unknown format, or has more than `MAX_PIXELS`.
    """
    try:
        with Image.open(BytesIO(data), formats=PICTURE_FORMATS) as picture:
            if picture.width * picture.height <= MAX_PIXELS:
                return ImageOps.exif_transpose(picture).convert("RGB")
    except Image.DecompressionBombError:
        pass  # Pillow's own limit is higher
    except DAMAGED as error:
        raise UserError("image.damaged", formats=", ".join(PICTURE_FORMATS)) from error
    raise UserError("image.too_large", limit=MAX_PIXELS // 1_000_000)
