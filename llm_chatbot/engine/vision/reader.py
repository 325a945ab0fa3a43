"""Reads pictures for a language model: what stands for one in a prompt, and the vectors that are read in its place."""

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
from PIL import Image

from llm_chatbot.engine.vision.decoding import decoded
from llm_chatbot.engine.vision.learned_positions import with_learned_positions
from llm_chatbot.engine.vision.prepared import Prepared, Processor
from llm_chatbot.engine.vision.processors import processor_of
from llm_chatbot.folder.json_files import read_json
from llm_chatbot.folder.manifest import IMAGE_SETTINGS, MERGER_XML, POSITIONS_XML

LARGE = 2048  # pixels, the longer side of the pictures that the page sends

KEPT_PICTURES = 16  # as the tower takes them, with their vectors: a conversation sends its pictures with each question


class Picture:
    """A picture that was prepared for a model.

    Attributes:
        token, row_token: see `Processor`.
        text: what stands for it in a prompt; see `Prepared`.
        ids: in place of tokens, one for each vector: negative, and of 62 bits that follow from the pixels. So they
            are the same for the same picture, and the cached prefix of a prompt with one is found by its ids alone.
        grid: see `Prepared`.
    """

    def __init__(self, processor: Processor, prepared: Prepared, embed: Callable[[np.ndarray], np.ndarray]) -> None:
        self.token, self.row_token, self.text = processor.token, processor.row_token, prepared.text
        self.ids = picture_ids(prepared.tiles, prepared.text.count(self.row_token))
        self.grid = prepared.grid
        self._tiles, self._embed = prepared.tiles, embed

    @cached_property
    def rows(self) -> np.ndarray:
        """The vectors, float32 [len(ids), hidden]; computed when they are first needed."""
        rows = self._embed(self._tiles)
        assert len(rows) == len(self.ids), f"{len(rows)} vectors for {len(self.ids)} places in the prompt"
        return rows


def picture_ids(tiles: np.ndarray, count: int) -> list[int]:
    """The ids of a picture's vectors; see `Picture`."""
    digest = hashlib.shake_256(repr(tiles.shape).encode())
    digest.update(np.ascontiguousarray(tiles).data)
    numbers = np.frombuffer(digest.digest(8 * count), dtype="<u8") >> np.uint64(2)
    return (-1 - numbers.astype(np.int64)).tolist()


class ImageReader:
    """Prepares pictures, without the vision tower until one is read.

    Args:
        processor: see the attribute.
        part: returns a graph of the vision tower by its name, or the file that has it.

    Attributes:
        processor: says how.
    """

    def __init__(self, processor: Processor, part: Callable[[str], ov.Model | Path]) -> None:
        self.processor, self._part = processor, part
        self._pictures: OrderedDict[bytes, Picture] = OrderedDict()
        self._preparing, self._embedding = threading.Lock(), threading.Lock()
        self._properties: dict[str, Any] = {}
        self._tower: dict[str, ov.CompiledModel] = {}

    def prepared(self, messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Messages whose parts have pictures in place of the bytes of files.

        Raises:
            UserError: see `decoded`.
        """
        return [
            {**message, "content": [self._prepared_part(part) for part in message["content"]]}
            if isinstance(message.get("content"), list)
            else dict(message)
            for message in messages
        ]

    def _prepared_part(self, part: Mapping[str, Any]) -> Mapping[str, Any]:
        is_file = part["type"] == "image" and isinstance(part["image"], bytes)
        return {**part, "image": self.picture(part["image"])} if is_file else part

    def use(self, properties: Mapping[str, Any]) -> None:
        """Sets the runtime's properties for the vision tower."""
        self._properties = dict(properties)

    def most_tokens(self) -> int:
        """How many vectors a picture of `LARGE` × `LARGE` pixels becomes."""
        return self.processor.prepare(Image.new("RGB", (LARGE, LARGE))).text.count(self.processor.row_token)

    def picture(self, data: bytes) -> Picture:
        """The picture in a file's bytes.

        Raises:
            UserError: see `decoded`.
        """
        digest = hashlib.sha256(data).digest()
        with self._preparing:
            if (known := self._pictures.pop(digest, None)) is None:
                known = Picture(self.processor, self.processor.prepare(decoded(data)), self._embed)
            self._pictures[digest] = known
            while len(self._pictures) > KEPT_PICTURES:
                self._pictures.popitem(last=False)
        return known

    def _run(self, part: str, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
        """The output of a part of the vision tower."""
        if part not in self._tower:
            self._tower[part] = ov.Core().compile_model(self._part(part), "CPU", self._properties)
        tower = self._tower[part]
        names = {port.any_name for port in tower.inputs}
        return tower({name: values for name, values in inputs.items() if name in names})[0]

    def _embed(self, tiles: np.ndarray) -> np.ndarray:
        """Runs the vision tower. Tiles as in `Prepared`. Returns float32 [vectors, hidden].

        One tile at a time: together they take the memory of all.
        """
        with self._embedding:
            outputs = [self.processor.vectors(tile[None], self._run) for tile in tiles]
        return np.concatenate([output.reshape(-1, output.shape[-1]) for output in outputs])


def folder_reader(folder: Path, config: Mapping[str, Any]) -> ImageReader:
    """Prepares pictures for a converted folder's model.

    Args:
        folder: with `preprocessor_config.json`.
        config: the content of `config.json`.

    Raises:
        UserError: the folder's settings are damaged, or no known processor's.
    """
    settings = folder / IMAGE_SETTINGS

    def part(name: str) -> ov.Model | Path:
        positions = folder / POSITIONS_XML
        if name != MERGER_XML or not positions.is_file():
            return folder / name
        return with_learned_positions(*map(ov.Core().read_model, (folder / name, positions)))

    return ImageReader(processor_of(read_json(settings), config, settings), part)


def rows_of(ids: Sequence[int], places: Mapping[int, tuple[Picture, int]]) -> np.ndarray | None:
    """The vectors for those of some ids that are a picture's, float32 [n, hidden]; None if none is.

    Args:
        places: by such an id, its picture and its place there.
    """
    found = [places[id] for id in ids if id < 0]
    return np.stack([picture.rows[place] for picture, place in found]) if found else None


def positions_of(ids: Sequence[int], places: Mapping[int, tuple[Picture, int]], begin: int = 0) -> np.ndarray:
    """The positions of ids in time, height and width, int64 [3, len(ids)].

    A picture with a grid takes the time of its first vector, and what follows begins after its longer side: M-RoPE of
    Qwen2-VL (Wang et al. 2024, arXiv:2409.12191).

    Args:
        ids: from a sequence's first one on, or from one that no picture's id precedes.
        places: see `rows_of`.
        begin: the position of the first one.
    """
    positions = np.tile(np.arange(begin, begin + len(ids), dtype=np.int64), (3, 1))
    start = 0
    while (first := next((place for place in range(start, len(ids)) if ids[place] < 0), None)) is not None:
        picture, _ = places[ids[first]]
        start = first + len(picture.ids)
        if picture.grid is not None:
            height, width = picture.grid
            rows, columns = np.divmod(np.arange(len(picture.ids)), width)
            offsets = np.stack([np.zeros_like(rows), rows, columns])
            after = positions[0, first] + max(height, width)
            positions[:, first:start] = (positions[0, first] + offsets)[:, : len(ids) - first]
            positions[:, start:] = after + np.arange(max(len(ids) - start, 0))
    return positions


def places_of(pictures: Sequence[Picture]) -> dict[int, tuple[Picture, int]]:
    """See `rows_of`."""
    return {id: (picture, place) for picture in pictures for place, id in enumerate(picture.ids)}
