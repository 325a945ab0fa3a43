"""How each kind of model wants its pictures: resized, cut and normalized as Transformers' processors do it.

No code of Transformers is used or copied here: tests/engine/vision compares the results, pixel by pixel. A processor is
found by the name that a checkpoint's `preprocessor_config.json` has for it.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from PIL import Image

from llm_chatbot.engine.vision.qwen_tower import QwenTower
from llm_chatbot.errors import UserError
from llm_chatbot.folder.image_settings import processor_name
from llm_chatbot.folder.manifest import MERGER_XML, PROJECTOR_XML, VISION_XML


@dataclass(frozen=True)
class Prepared:
    """A picture as a vision tower takes it.

    Attributes:
        tiles: uint8 [tiles, 3, height, width], which `Processor.normalized` makes floating-point numbers of.
        text: what stands for the picture in a prompt: `Processor.row_token` for each vector of it, and what a model
            wants around them.
        grid: how many vectors there are in its height and width, where their positions say so; None: they are those
            of a text.
    """

    tiles: np.ndarray
    text: str
    grid: tuple[int, int] | None = None


# Runs a part of a vision tower, by the name of its .xml, and returns its output.
Run = Callable[[str, Mapping[str, np.ndarray]], np.ndarray]


class Processor(Protocol):
    """Prepares pictures for one kind of model.

    Attributes:
        token: what a chat template writes for a picture.
        row_token: what stands for each of its vectors.
    """

    token: str
    row_token: str

    def prepare(self, picture: Image.Image) -> Prepared:
        """An RGB picture as the model wants it."""

    def inputs(self, tiles: np.ndarray) -> dict[str, np.ndarray]:
        """The inputs of the vision tower's first graph for tiles as in `Prepared`."""

    def vectors(self, tiles: np.ndarray, run: Run) -> np.ndarray:
        """The vectors that the vision tower makes of tiles, float32 [..., vectors, hidden]."""


class OneGraph:
    """A vision tower that is one graph."""

    def inputs(self, tiles: np.ndarray) -> dict[str, np.ndarray]:
        raise NotImplementedError

    def vectors(self, tiles: np.ndarray, run: Run) -> np.ndarray:
        return run(VISION_XML, self.inputs(tiles))


@dataclass(frozen=True)
class Pixels:
    """Settings of `preprocessor_config.json` that say what numbers pixels become."""

    scale: float
    mean: np.ndarray
    std: np.ndarray
    resample: Image.Resampling

    def normalized(self, tiles: np.ndarray) -> np.ndarray:
        """float32 of the shape of `tiles`, uint8 [..., 3, height, width]."""
        scaled = (tiles * np.float64(self.scale)).astype(np.float32)
        return (scaled - self.mean[:, None, None]) / self.std[:, None, None]


def read_pixels(settings: Mapping[str, Any], resample: Image.Resampling) -> Pixels:
    """The settings of a file.

    Args:
        resample: what the processor takes where the file says nothing.

    Raises:
        LookupError, TypeError, ValueError: one is missing or of another form.
    """
    mean, std = (np.array(settings[name], dtype=np.float32) for name in ("image_mean", "image_std"))
    if mean.shape != (3,) or std.shape != (3,):
        raise ValueError("three colours have three means")
    rescales = settings.get("do_rescale", True)
    normalizes = settings.get("do_normalize", True)
    return Pixels(
        scale=float(settings.get("rescale_factor", 1 / 255)) if rescales else 1.0,
        mean=mean if normalizes else np.zeros(3, np.float32),
        std=std if normalizes else np.ones(3, np.float32),
        resample=Image.Resampling(settings.get("resample", resample)),
    )


def channels_first(picture: Image.Image) -> np.ndarray:
    """uint8 [3, height, width]."""
    return np.asarray(picture).transpose(2, 0, 1)


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


class PixtralProcessor:
    """Pixtral and Mistral 3: the picture keeps its shape, in whole patches; a token stands at the end of each row.

    Settings: `size` with a "longest_edge", or "height" and "width". With `spatial_merge_size` in `config.json`, so many
    patches on an edge become one vector.
    """

    row_token = token = "[IMG]"
    BREAK, END = "[IMG_BREAK]", "[IMG_END]"

    def __init__(self, settings: Mapping[str, Any], config: Mapping[str, Any]) -> None:
        self._pixels = read_pixels(settings, Image.Resampling.BICUBIC)
        size = settings["size"]
        edges = (size.get("longest_edge") or size[name] for name in ("width", "height"))
        self._largest = tuple(int(edge) for edge in edges)
        self._patch, self._merge = int(config["vision_config"]["patch_size"]), config.get("spatial_merge_size")
        self._unit = self._patch * int(self._merge or 1)

    def prepare(self, picture: Image.Image) -> Prepared:
        shrunk = max(1.0, *(edge / largest for edge, largest in zip(picture.size, self._largest, strict=True)))
        # Transformers refuses a picture of which nothing would be left on an edge; here it is one pixel.
        edges = (max(1, math.floor(edge / shrunk)) for edge in picture.size)
        across, down = (math.ceil(edge / self._unit) for edge in edges)
        resized = picture.resize((across * self._unit, down * self._unit), self._pixels.resample)
        rows = [self.row_token * across] * down
        return Prepared(channels_first(resized)[None], self.BREAK.join(rows) + self.END)

    def inputs(self, tiles: np.ndarray) -> dict[str, np.ndarray]:
        return {"pixel_values": self._pixels.normalized(tiles)}

    def vectors(self, tiles: np.ndarray, run: Run) -> np.ndarray:
        patches = run(VISION_XML, self.inputs(tiles))
        if not self._merge:
            return patches
        height, width = (edge // self._unit for edge in tiles.shape[-2:])
        squares = patches.reshape(height, self._merge, width, self._merge, -1).transpose(0, 2, 4, 1, 3)
        return run(PROJECTOR_XML, {"image_features": squares.reshape(height * width, -1)})


class Qwen2VLProcessor:
    """Qwen2-VL and 2.5-VL: the picture keeps its shape, in whole patches, within limits on its pixels.

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


# By the name of Transformers' class; `KNOWN_PROCESSORS` are the same names.
PROCESSORS: dict[str, Callable[[Mapping[str, Any], Mapping[str, Any]], Processor]] = {
    "CLIPImageProcessor": CLIPProcessor,
    "Gemma3ImageProcessor": Gemma3Processor,
    "Idefics3ImageProcessor": Idefics3Processor,
    "PixtralImageProcessor": PixtralProcessor,
    "Qwen2VLImageProcessor": Qwen2VLProcessor,
    "SmolVLMImageProcessor": Idefics3Processor,
}


def processor_of(settings: Mapping[str, Any], config: Mapping[str, Any], place: object) -> Processor:
    """The processor that a folder's settings name.

    Args:
        settings: the content of `preprocessor_config.json`.
        config: that of `config.json`.
        place: the file, for messages.

    Raises:
        UserError: it is an unknown one, or its settings are damaged.
    """
    name = processor_name(settings, place)
    try:
        return PROCESSORS[name](settings, config)
    except (LookupError, TypeError, ValueError) as error:
        raise UserError("image.settings", file=place) from error
