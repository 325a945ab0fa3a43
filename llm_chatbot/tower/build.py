"""Builds the graphs of a vision tower from an `mmproj` file."""

from dataclasses import dataclass
from pathlib import Path

import openvino as ov

from llm_chatbot.decoder.constants import shared_constants
from llm_chatbot.decoder.keys import Keys
from llm_chatbot.decoder.rotary import SECTIONS
from llm_chatbot.decoder.tensors import Tensors
from llm_chatbot.errors import UserError
from llm_chatbot.gguf.header import GGUFHeader, read_gguf_header
from llm_chatbot.tower.layers import Tower
from llm_chatbot.tower.rows import TOWERS, TowerRow
from llm_chatbot.tower.settings import TowerSettings

ARCHITECTURE = "clip"  # whatever the tower is

# The beginnings of the keys of other parts, and of those that only say which parts there are.
NO_TOWER = ("audio.", "text.", "has_")

# What a file may say of its tower without any effect on the computation.
KNOWN_NOTES = {
    *("vision.feed_forward_length", "vision.image_aspect_ratio", "vision.image_crop_resolution"),
    *("vision.mm_patch_merge_type", "vision.projection_dim", "vision.projector_type", "projector_type"),
    *("vision.is_deepstack_layers", "use_gelu", "use_silu"),
}


@dataclass(frozen=True)
class TowerFile:
    """An `mmproj` file.

    Attributes:
        header: of the file.
        row: what its tower is made of.
        width: the size of the vectors that it makes, with those for further layers.
    """

    header: GGUFHeader
    row: TowerRow
    width: int

    @property
    def path(self) -> Path:
        return self.header.path


def read_tower(path: Path) -> TowerFile:
    """
    Raises:
        UserError: the file is damaged, no `mmproj`, or its projector is not supported.
    """
    header = read_gguf_header(path)
    keys = Keys(header)
    if keys.architecture != ARCHITECTURE:
        raise UserError("mmproj.architecture", path=path, architecture=f"{keys.architecture!r:.80}")
    kind = keys.get("projector_type", keys.get("vision.projector_type", "mlp"))  # the oldest files have no other
    if kind not in TOWERS:
        raise UserError("mmproj.projector", path=path, type=f"{kind!r:.80}", known=", ".join(sorted(TOWERS)))
    deep = sum(name.startswith("v.deepstack.") and name.endswith(".fc1.weight") for name in header.tensors)
    return TowerFile(header, TOWERS[kind], keys.size("vision.projection_dim") * (1 + deep))


def check_pair(tower: TowerFile, model: GGUFHeader) -> None:
    """Raises a `UserError` if a tower was not made for a language model."""
    keys = Keys(model)
    width = keys.size("embedding_length") * (1 + int(keys.number("n_deepstack_layers", 0)))
    if tower.width != width:
        raise UserError("mmproj.width", path=tower.path, width=tower.width, model=model.path, expected=width)
    if tower.row.on_axes and SECTIONS not in keys:
        raise UserError("mmproj.positions", path=tower.path, model=model.path, architecture=keys.architecture)


def tower_settings(file: TowerFile) -> TowerSettings:
    """See `TowerRow`.

    Raises:
        UserError: the file lacks one.
    """
    return file.row.settings(Keys(file.header))


def build_tower(file: TowerFile) -> dict[str, ov.Model]:
    """The graphs of a tower, see `TowerRow`. Nothing else must be kept alive for them.

    Raises:
        UserError: the file is damaged, or has parts that are not supported.
    """
    keys = Keys(file.header)
    file.row.settings(keys)  # what it reads is known
    graphs = {}
    with Tensors(file.header) as tensors:
        try:
            for name, build in file.row.graphs.items():
                with shared_constants():
                    graphs[name] = build(Tower(keys, tensors, file.row.norm, file.row.rotates_neighbours))
        except RuntimeError as error:  # of OpenVINO, for operands whose shapes don't fit together
            raise keys.refusal("gguf.shapes", reason=str(error).strip().splitlines()[-1]) from error
        tensors.finish()
    left = [name for name in tensors.unused() if name.startswith(("v.", "mm."))]
    left += [key for key in keys.unread(other_parts=NO_TOWER) if key not in KNOWN_NOTES]
    if left:
        raise UserError("mmproj.not_supported", path=file.path, name=f"{left[0]:.80}")
    return graphs
