"""A picture as a vision tower takes it, and what prepares one."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from PIL import Image

from llm_chatbot.folder.manifest import VISION_XML


@dataclass(frozen=True)
class Prepared:
    """A picture as a vision tower takes it.

    Attributes:
        tiles: uint8 [tiles, 3, height, width], which `Pixels.normalized` makes floating-point numbers of.
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
