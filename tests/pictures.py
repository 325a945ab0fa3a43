"""Pictures of random pixels, as the bytes of files."""

from functools import cache
from io import BytesIO

import numpy as np
from PIL import Image


@cache
def random_picture(width: int, height: int, seed: int = 0) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


@cache
def picture_file(width: int, height: int, seed: int = 0, format: str = "PNG") -> bytes:
    file = BytesIO()
    random_picture(width, height, seed).save(file, format)
    return file.getvalue()
