"""Processors that cut a picture into tiles of one size, and add a small picture of all of it."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image

from llm_chatbot.engine.vision.prepared import OneGraph, Prepared, channels_first, read_pixels


class Idefics3Processor(OneGraph):
    """Idefics 3 and SmolVLM: the picture is cut into square tiles, and a small one of all of it comes last.

    Settings: `size` and `max_image_size`, each with a "longest_edge".
    """

    row_token = token = "<image>"
    AROUND, WHOLE = "<fake_token_around_image>", "<global-img>"
    LARGEST = 4096  # an edge is never longer, whatever the settings say

    def __init__(self, settings: Mapping[str, Any], config: Mapping[str, Any]) -> None:
        self._pixels = read_pixels(settings, Image.Resampling.LANCZOS)
        self._edge = min(int(settings["size"]["longest_edge"]), self.LARGEST)
        self._tile = int(settings["max_image_size"]["longest_edge"])
        self._splits = bool(settings.get("do_image_splitting", True))
        vision = config["vision_config"]
        self._patches = self._tile // int(vision["patch_size"])  # on an edge of a tile
        self._positions = int(vision["image_size"]) // int(vision["patch_size"])  # that the tower was trained with
        self._rows = self._patches**2 // int(config["scale_factor"]) ** 2

    def prepare(self, picture: Image.Image) -> Prepared:
        resized = picture.resize(self._longest_edge(*picture.size), self._pixels.resample)
        if not self._splits:
            return Prepared(channels_first(self._square(resized))[None], self._text(0, 0))
        resized = resized.resize(self._whole_tiles(*resized.size), self._pixels.resample)
        across, down = resized.size[0] // self._tile, resized.size[1] // self._tile
        if (across, down) == (1, 1):
            return Prepared(channels_first(resized)[None], self._text(0, 0))
        pixels = channels_first(resized).reshape(3, down, self._tile, across, self._tile)
        tiles = pixels.transpose(1, 3, 0, 2, 4).reshape(-1, 3, self._tile, self._tile)
        whole = channels_first(self._square(resized))[None]
        return Prepared(np.concatenate([tiles, whole]), self._text(down, across))

    def _longest_edge(self, width: int, height: int) -> tuple[int, int]:
        """The size, width and height, with a longer edge of `size`; the other one is even."""
        ratio = width / height
        if width >= height:
            other = int(self._edge / ratio)
            return self._edge, max(other + other % 2, 1)
        other = int(self._edge * ratio)
        return max(other + other % 2, 1), self._edge

    def _whole_tiles(self, width: int, height: int) -> tuple[int, int]:
        """The size, width and height, that whole tiles fill."""
        ratio, tile = width / height, self._tile
        if width >= height:
            width = math.ceil(width / tile) * tile
            return width, math.ceil(int(width / ratio) / tile) * tile
        height = math.ceil(height / tile) * tile
        return math.ceil(int(height * ratio) / tile) * tile, height

    def _square(self, picture: Image.Image) -> Image.Image:
        return picture.resize((self._tile, self._tile), self._pixels.resample)

    def _text(self, down: int, across: int) -> str:
        rows = self.row_token * self._rows
        tiles = "".join(
            "".join(f"{self.AROUND}<row_{row}_col_{column}>{rows}" for column in range(1, across + 1)) + "\n"
            for row in range(1, down + 1)
        )
        return f"{tiles}{chr(10) if tiles else ''}{self.AROUND}{self.WHOLE}{rows}{self.AROUND}"

    def inputs(self, tiles: np.ndarray) -> dict[str, np.ndarray]:
        count, patches = len(tiles), self._patches
        positions = np.tile(patch_positions(patches, self._positions), (count, 1))
        return {
            "pixel_values": self._pixels.normalized(tiles),
            "patch_attention_mask": np.ones((count, patches, patches), dtype=bool),
            "patch_position_ids": positions,
        }


def patch_positions(patches: int, trained: int) -> np.ndarray:
    """Which position of a tower trained with `trained` × `trained` patches each of `patches` × `patches` has, int64.

    In 32 bits, as Transformers computes them: a rounded fraction may fall before the border that it stands on.
    """
    borders = np.arange(1 / trained, 1.0, 1 / trained).astype(np.float32)
    fractions = np.arange(patches, dtype=np.float32) * np.float32(1.0 / patches)
    places = np.searchsorted(borders, np.minimum(fractions, np.float32(1 - 1e-6)), side="right")
    return (places[:, None] * trained + places).reshape(-1).astype(np.int64)


class InternVLProcessor(OneGraph):
    """InternVL in Transformers' own form: the picture is stretched over the grid of tiles whose shape is nearest.

    Settings: `size`, `min_patches` and `max_patches`, the numbers of tiles. They are cut whatever `crop_to_patches`
    says, as Transformers' processor of the whole model does it.
    """

    row_token = token = "<IMG_CONTEXT>"
    BEGIN, END = "<img>", "</img>"

    def __init__(self, settings: Mapping[str, Any], config: Mapping[str, Any]) -> None:
        self._pixels = read_pixels(settings, Image.Resampling.BICUBIC)
        self._tile = int(settings["size"]["width"]), int(settings["size"]["height"])
        fewest, most = int(settings.get("min_patches", 1)), int(settings.get("max_patches", 12))
        grids = [(across, down) for across in range(1, most + 1) for down in range(1, most // across + 1)]
        self._grids = sorted((grid for grid in grids if math.prod(grid) >= fewest), key=math.prod)
        patch = config["vision_config"]["patch_size"]
        patches = math.prod(edge // int(patch if isinstance(patch, int) else patch[0]) for edge in self._tile)
        self._rows = int(patches * float(config["downsample_ratio"]) ** 2)

    def prepare(self, picture: Image.Image) -> Prepared:
        (width, height), (across, down) = self._tile, self._grid(*picture.size)
        resized = channels_first(picture.resize((across * width, down * height), self._pixels.resample))
        tiles = resized.reshape(3, down, height, across, width).transpose(1, 3, 0, 2, 4).reshape(-1, 3, height, width)
        if len(tiles) > 1:
            tiles = np.concatenate([tiles, channels_first(picture.resize(self._tile, self._pixels.resample))[None]])
        return Prepared(tiles, f"{self.BEGIN}{self.row_token * (self._rows * len(tiles))}{self.END}")

    def _grid(self, width: int, height: int) -> tuple[int, int]:
        """The tiles across and down. Of grids of the same shape, the largest that the picture fills to more than half,
        or the smallest."""
        best, least = (1, 1), math.inf
        for across, down in self._grids:
            difference = abs(width / height - across / down)
            fills = width * height > 0.5 * math.prod(self._tile) * across * down
            if difference < least or (difference == least and fills):
                best, least = (across, down), difference
        return best

    def inputs(self, tiles: np.ndarray) -> dict[str, np.ndarray]:
        return {"pixel_values": self._pixels.normalized(tiles)}
