"""Processors that keep a picture's shape: it has as many vectors as it needs, within limits."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image

from llm_chatbot.engine.vision.prepared import OneGraph, Prepared, Run, channels_first, read_pixels
from llm_chatbot.engine.vision.qwen_tower import ROTARY_BASE, QwenTower
from llm_chatbot.folder.manifest import MERGER_XML, PROJECTOR_XML, VISION_XML


class Gemma4Processor(OneGraph):
    """Gemma 4: the picture keeps its shape and is scaled up or down to nearly as many vectors as there may be.

    Settings: `patch_size`, `pooling_kernel_size`, the patches on an edge of what becomes a vector, and
    `max_soft_tokens`, the vectors. The tower is given patches for all of them, with zeros at the end.
    """

    row_token = token = "<|image|>"
    BEGIN, END = "<|image>", "<image|>"

    def __init__(self, settings: Mapping[str, Any], config: Mapping[str, Any]) -> None:
        self._pixels = read_pixels(settings, Image.Resampling.BICUBIC)
        self._patch, self._pool = int(settings.get("patch_size", 16)), int(settings.get("pooling_kernel_size", 3))
        self._most, self._unit = int(settings.get("max_soft_tokens", 280)), self._patch * self._pool

    def prepare(self, picture: Image.Image) -> Prepared:
        across, down = self._vectors(*picture.size)
        resized = picture.resize((across * self._unit, down * self._unit), self._pixels.resample)
        text = f"{self.BEGIN}{self.row_token * (across * down)}{self.END}"
        return Prepared(channels_first(resized)[None], text)

    def _vectors(self, width: int, height: int) -> tuple[int, int]:
        """How many there are across and down. Transformers refuses a picture that is hardly a line; here it has one."""
        scale = math.sqrt(self._most * self._unit**2 / (width * height))
        across, down = (math.floor(scale * edge / self._unit) for edge in (width, height))
        if down == 0:
            return max(1, min(width // height, self._most)), 1
        if across == 0:
            return 1, max(1, min(height // width, self._most))
        return across, down

    def inputs(self, tiles: np.ndarray) -> dict[str, np.ndarray]:
        pixels, patch = self._pixels.normalized(tiles)[0], self._patch
        rows, columns = (edge // patch for edge in pixels.shape[1:])
        patches = pixels.reshape(3, rows, patch, columns, patch).transpose(1, 3, 2, 4, 0).reshape(rows * columns, -1)
        places = np.indices((rows, columns))[::-1].reshape(2, -1).T  # across, down
        missing = ((0, self._most * self._pool**2 - len(patches)), (0, 0))
        return {
            "pixel_values": np.pad(patches, missing)[None],
            "image_position_ids": np.pad(places, missing, constant_values=-1).astype(np.int64)[None],
        }


class PixtralProcessor:
    """Pixtral and Mistral 3: the picture keeps its shape, in whole patches; a token stands at the end of each row.

    Settings: `size` with a "longest_edge", or "height" and "width". With `spatial_merge_size` in `config.json`, so many
    patches on an edge become one vector. With a `head_size` in its `vision_config`, the tower is given the rotations of
    patches, which Optimum Intel's graphs compute.
    """

    row_token = token = "[IMG]"
    BREAK, END = "[IMG_BREAK]", "[IMG_END]"

    def __init__(self, settings: Mapping[str, Any], config: Mapping[str, Any]) -> None:
        self._pixels = read_pixels(settings, Image.Resampling.BICUBIC)
        size = settings["size"]
        edges = (size.get("longest_edge") or size[name] for name in ("width", "height"))
        self._largest = tuple(int(edge) for edge in edges)
        vision = config["vision_config"]
        self._patch, self._merge = int(vision["patch_size"]), config.get("spatial_merge_size")
        self._unit = self._patch * int(self._merge or 1)
        self._head_size = vision.get("head_size")

    def prepare(self, picture: Image.Image) -> Prepared:
        shrunk = max(1.0, *(edge / largest for edge, largest in zip(picture.size, self._largest, strict=True)))
        # Transformers refuses a picture of which nothing would be left on an edge; here it is one pixel.
        edges = (max(1, math.floor(edge / shrunk)) for edge in picture.size)
        across, down = (math.ceil(edge / self._unit) for edge in edges)
        resized = picture.resize((across * self._unit, down * self._unit), self._pixels.resample)
        rows = [self.row_token * across] * down
        return Prepared(channels_first(resized)[None], self.BREAK.join(rows) + self.END)

    def inputs(self, tiles: np.ndarray) -> dict[str, np.ndarray]:
        pixels = {"pixel_values": self._pixels.normalized(tiles)}
        if self._head_size is None:
            return pixels
        height, width = (edge // self._patch for edge in tiles.shape[-2:])
        return {**pixels, "rotary_pos_emb": self._angles(self._head_size, height, width)}

    @staticmethod
    def _angles(head_size: int, height: int, width: int) -> np.ndarray:
        """By which the pairs of a head are rotated for each patch, float32 [patches, pairs]: those of the first half by
        its row, the others by its column."""
        frequencies = ROTARY_BASE ** -(np.arange(0, head_size, 2, dtype=np.float32) / np.float32(head_size))
        rows, columns = (places.reshape(-1, 1).astype(np.float32) for places in np.indices((height, width)))
        return np.concatenate([rows * frequencies[::2], columns * frequencies[1::2]], axis=1).astype(np.float32)

    def vectors(self, tiles: np.ndarray, run: Run) -> np.ndarray:
        patches = run(VISION_XML, self.inputs(tiles))
        if not self._merge:
            return patches
        height, width = (edge // self._unit for edge in tiles.shape[-2:])
        squares = patches.reshape(height, self._merge, width, self._merge, -1).transpose(0, 2, 4, 1, 3)
        return run(PROJECTOR_XML, {"image_features": squares.reshape(height * width, -1)})


class Qwen2VLProcessor:
    """Qwen2-VL, 2.5-VL and Qwen3-VL: the picture keeps its shape, in whole patches, within limits on its pixels.

    Settings: `min_pixels` and `max_pixels`, or a `size` with them as "shortest_edge" and "longest_edge". The largest
    is `MOST_PIXELS`, the default of Transformers: the tower's masks take memory by the square of the patches.
    """

    row_token = token = "<|image_pad|>"
    FEWEST_PIXELS, MOST_PIXELS = 56 * 56, 1280 * 28 * 28

    def __init__(self, settings: Mapping[str, Any], config: Mapping[str, Any]) -> None:
        self._pixels = read_pixels(settings, Image.Resampling.BICUBIC)
        size = settings.get("size") or {}
        least = settings.get("min_pixels") or size.get("shortest_edge", self.FEWEST_PIXELS)
        most = settings.get("max_pixels") or size.get("longest_edge", self.MOST_PIXELS)
        self._fewest, self._most = int(least), min(int(most), self.MOST_PIXELS)
        self._tower = QwenTower(config["vision_config"])

    def prepare(self, picture: Image.Image) -> Prepared:
        width, height = self._size(*picture.size)
        tiles = channels_first(picture.resize((width, height), self._pixels.resample))[None]
        grid = height // self._tower.unit, width // self._tower.unit
        return Prepared(tiles, self.row_token * (grid[0] * grid[1]), grid)

    def _size(self, width: int, height: int) -> tuple[int, int]:
        """The size nearest to the picture's own within the limits, of whole vectors.

        Transformers refuses a picture that is more than 200 times as long as it is wide; here it is as any other.
        """
        unit = self._tower.unit
        size = [round(edge / unit) * unit for edge in (width, height)]
        if size[0] * size[1] > self._most:
            shrunk = math.sqrt(width * height / self._most)
            size = [max(unit, math.floor(edge / shrunk / unit) * unit) for edge in (width, height)]
        elif size[0] * size[1] < self._fewest:
            grown = math.sqrt(self._fewest / (width * height))
            size = [math.ceil(edge * grown / unit) * unit for edge in (width, height)]
        return size[0], size[1]

    def inputs(self, tiles: np.ndarray) -> dict[str, np.ndarray]:
        return {"hidden_states": self._tower.patches(self._pixels.normalized(tiles))}

    def vectors(self, tiles: np.ndarray, run: Run) -> np.ndarray:
        patches = run(VISION_XML, self.inputs(tiles))
        height, width = (edge // self._tower.patch for edge in tiles.shape[-2:])
        return run(MERGER_XML, {"hidden_states": patches, **self._tower.merger_inputs(height, width)})
