"""Processors whose pictures all have one size: the middle of each, or all of it as a square."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image

from llm_chatbot.engine.vision.prepared import OneGraph, Prepared, channels_first, read_pixels


class CLIPProcessor(OneGraph):
    """LLaVA 1.5: the shorter edge is resized, and the middle is cut out.

    Settings: `size` with a "shortest_edge", and `crop_size`.
    """

    row_token = token = "<image>"

    def __init__(self, settings: Mapping[str, Any], config: Mapping[str, Any]) -> None:
        self._pixels = read_pixels(settings, Image.Resampling.BICUBIC)
        self._edge = int(settings["size"]["shortest_edge"])
        crop = settings["crop_size"]
        self._crop = (crop, crop) if isinstance(crop, int) else (int(crop["height"]), int(crop["width"]))
        patch = int(config["vision_config"]["patch_size"])
        # One vector for each patch; "full" keeps the one that CLIP has for the whole picture too.
        is_full = config.get("vision_feature_select_strategy", "default") == "full"
        self._rows = (self._crop[0] // patch) * (self._crop[1] // patch) + is_full

    def prepare(self, picture: Image.Image) -> Prepared:
        width, height = picture.size
        short, long = min(width, height), max(width, height)
        longer = int(self._edge * long / short)
        size = (self._edge, longer) if width <= height else (longer, self._edge)
        resized = channels_first(picture.resize(size, self._pixels.resample))
        return Prepared(centre_of(resized, *self._crop)[None], self.row_token * self._rows)

    def inputs(self, tiles: np.ndarray) -> dict[str, np.ndarray]:
        return {"pixel_values": self._pixels.normalized(tiles)}


def centre_of(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """The middle of [3, height, width], with zeros around it where that is smaller."""
    _, own_height, own_width = pixels.shape
    padded = np.zeros((3, max(height, own_height), max(width, own_width)), pixels.dtype)
    top, left = math.ceil((padded.shape[1] - own_height) / 2), math.ceil((padded.shape[2] - own_width) / 2)
    padded[:, top : top + own_height, left : left + own_width] = pixels
    top, left = (own_height - height) // 2 + top, (own_width - width) // 2 + left
    return padded[:, max(top, 0) : max(top, 0) + height, max(left, 0) : max(left, 0) + width]


class Gemma3Processor(OneGraph):
    """Gemma 3: the whole picture becomes a square.

    Settings: `size` with "height" and "width". Its own cutting into parts, "pan and scan", is off by default and not
    done here.
    """

    token, row_token, END = "<start_of_image>", "<image_soft_token>", "<end_of_image>"

    def __init__(self, settings: Mapping[str, Any], config: Mapping[str, Any]) -> None:
        self._pixels = read_pixels(settings, Image.Resampling.BILINEAR)
        self._size = int(settings["size"]["width"]), int(settings["size"]["height"])
        self._rows = int(config["mm_tokens_per_image"])

    def prepare(self, picture: Image.Image) -> Prepared:
        text = f"\n\n{self.token}{self.row_token * self._rows}{self.END}\n\n"
        return Prepared(channels_first(picture.resize(self._size, self._pixels.resample))[None], text)

    def inputs(self, tiles: np.ndarray) -> dict[str, np.ndarray]:
        return {"pixel_values": self._pixels.normalized(tiles)}
