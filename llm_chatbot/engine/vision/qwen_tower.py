"""The inputs of the vision tower of Qwen2-VL, 2.5-VL and Qwen3-VL beside its patches: positions, and who looks at whom.

From Wang et al. 2024 (arXiv:2409.12191) and Bai et al. 2025 (arXiv:2502.13923), in the form of Optimum Intel's
`openvino_vision_embeddings_merger_model.xml`. Patches lie in squares of `spatial_merge_size`, each of which becomes one
vector.
"""

import math
from collections.abc import Mapping
from itertools import product
from typing import Any

import numpy as np

ROTARY_BASE = 10_000.0


class QwenTower:
    """
    Attributes:
        patch: pixels on an edge of a patch.
        unit: pixels on an edge of what becomes one vector.

    Args:
        vision: the `vision_config` of a `config.json`.
    """

    def __init__(self, vision: Mapping[str, Any]) -> None:
        self.patch, self._merge = int(vision["patch_size"]), int(vision["spatial_merge_size"])
        self.unit = self.patch * self._merge
        self._frames = int(vision["temporal_patch_size"])
        width = int(vision.get("embed_dim") or vision["hidden_size"])
        self._rotary = width // int(vision["num_heads"]) // 2
        # Of Qwen3-VL: so many learned positions on an edge, of which each patch has a mixture; 0: there are none.
        self._learned = math.isqrt(int(vision.get("num_position_embeddings", 0)))
        # Of 2.5: layers that look at a window only, of so many vectors on an edge; 0: there are none.
        self._window = int(vision["window_size"]) // self.unit if "window_size" in vision else 0

    def patches(self, pixels: np.ndarray) -> np.ndarray:
        """The patches of a picture, float32 [patches, values]; all frames of a patch are the picture.

        Args:
            pixels: float32 [1, 3, height, width].
        """
        _, colours, height, width = pixels.shape
        edges = (height // self.unit, self._merge, self.patch, width // self.unit, self._merge, self.patch)
        squares = pixels.reshape(colours, *edges).transpose(1, 4, 2, 5, 0, 3, 6)  # rows, columns, in a square, colours
        frames = np.repeat(squares[:, :, :, :, :, None], self._frames, axis=5)
        return frames.reshape(-1, colours * self._frames * self.patch**2)

    def merger_inputs(self, height: int, width: int) -> dict[str, np.ndarray]:
        """The other inputs of the second graph, for so many patches."""
        places = self._in_squares(*np.indices((height, width)))
        frequencies = ROTARY_BASE ** -(np.arange(0, self._rotary, 2, dtype=np.float32) / np.float32(self._rotary))
        turns = places[:, :, None].astype(np.float32) * frequencies.astype(np.float32)
        everybody = np.zeros((1, height * width, height * width), np.float32)
        inputs = {"attention_mask": everybody, "rotary_pos_emb": turns.reshape(len(places), -1)}
        windows = self._windows(height // self._merge, width // self._merge)
        return {**inputs, **windows, **self._learned_positions(height, width)}

    def _learned_positions(self, height: int, width: int) -> dict[str, np.ndarray]:
        """The learned positions around each patch, and how much each counts; nothing for a tower without."""
        if not self._learned:
            return {}
        last = np.float32(self._learned - 1)
        down, across = (np.linspace(0, last, count, dtype=np.float32) for count in (height, width))
        sides = [
            [(np.floor(axis), 1 - axis % 1), (np.minimum(np.floor(axis) + 1, last), axis % 1)]
            for axis in (down, across)
        ]
        corners = list(product(*sides))
        places = [row[:, None] * self._learned + column for (row, _), (column, _) in corners]
        weights = [up[:, None] * left for (_, up), (_, left) in corners]
        return {
            "position_places": self._in_squares(*places).T.astype(np.int64),
            "position_weights": self._in_squares(*weights).T.astype(np.float32),
        }

    def _in_squares(self, *values: np.ndarray) -> np.ndarray:
        """Values [height, width] of patches in the order of their squares, [patches, values]."""
        merge = self._merge
        height, width = values[0].shape
        edges = (height // merge, merge, width // merge, merge)
        return np.stack([value.reshape(edges).transpose(0, 2, 1, 3).reshape(-1) for value in values], axis=1)

    def _windows(self, height: int, width: int) -> dict[str, np.ndarray]:
        """The vectors in the order of their windows, and who looks at whom there; nothing for a tower without."""
        if not self._window:
            return {}
        rows, columns = np.indices((height, width))
        across = -(-width // self._window)
        windows = (rows // self._window * across + columns // self._window).reshape(-1)
        order = np.argsort(windows, kind="stable")
        of_patches = np.repeat(windows[order], self._merge**2)
        mask = np.where(of_patches[:, None] == of_patches, np.float32(0), np.float32(-np.inf))
        return {"window_index": order.astype(np.int64), "window_attention_mask": mask[None]}
