"""Which files of a checkpoint hold its weights: the index says so, where there is one."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from llm_chatbot.sources.json_files import damaged_checkpoint, read_checkpoint_json

# In order of preference: a safetensors file cannot hold code, and can be mapped into memory.
SAFETENSORS, PICKLE = "model.safetensors", "pytorch_model.bin"


@dataclass(frozen=True)
class WeightFiles:
    """The files that hold a checkpoint's weights, by their names in its folder.

    Attributes:
        names: of the files with tensors; empty if there are none in a known format.
        index: of the file that lists them, if there is one.
        missing: which of `names` are not there.
        whole: a file with all weights beside an index that does not fit it; None where that is not so.
    """

    names: list[str]
    index: str | None = None
    missing: tuple[str, ...] = ()
    whole: str | None = None

    @property
    def all_names(self) -> list[str]:
        return [*([self.index] if self.index else []), *self.names]


def weight_files(there: Collection[str], read_index: Callable[[str], Path]) -> WeightFiles:
    """The weights in the preferred format of those that are there.

    Args:
        there: the names of all files.
        read_index: returns the path of an index, by its name.

    Raises:
        UserError: the index is damaged.
    """
    for whole in (SAFETENSORS, PICKLE):
        index = f"{whole}.index.json"
        if index in there:
            names = _shards(read_index(index))
            missing = tuple(name for name in names if name not in there)
            others = (name for name in (SAFETENSORS, PICKLE) if missing and name in there)
            return WeightFiles(names, index, missing, next(others, None))
        if whole in there:
            return WeightFiles([whole])
    return WeightFiles([])


def _shards(index: Path) -> list[str]:
    """The files that an index lists; none outside of the checkpoint."""
    shards = read_checkpoint_json(index).get("weight_map")
    if not isinstance(shards, dict) or not shards or not all(_is_inside(name) for name in shards.values()):
        raise damaged_checkpoint(index)
    return sorted({PurePosixPath(name).as_posix() for name in shards.values()})


def _is_inside(name: object) -> bool:
    if not isinstance(name, str) or not name or "\\" in name or ":" in name:
        return False
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts
