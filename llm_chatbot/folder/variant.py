"""A model in one precision: what its folder holds or is to hold, and whether it has to be converted.

Importing this module is cheap: whether a model has to be converted is known before PyTorch or NNCF is imported.
"""

from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from llm_chatbot.catalogue.row import ModelConfig
from llm_chatbot.folder.manifest import complete_manifest, kept_blocks
from llm_chatbot.folder.place import Precision, model_folder

# ggml's types of weights that are not quantized.
FLOAT_TYPES = ("F32", "F16", "BF16")


@dataclass(frozen=True)
class Variant:
    """A model in one precision, and its place on disk.

    Attributes:
        name: as the user gave it; see `get_model_config`.
        config: the model's row of the catalogue, with the INT4 settings to use.
        precision: of the weights.
        root: the folder that holds all converted models.
        blocks: ggml's name for the quantized blocks of a GGUF file that are kept as they are; None: weights are
            compressed from 16 bits.
        prebuilt: whether the folder is OpenVINO's own, see `ModelConfig.openvino_id`.
        files: what identifies the checkpoint's files that are on this machine now, see
            `llm_chatbot.sources.gguf_files.found_files`; None: they were not looked for or are not there.
        allow_non_finite: whether a checkpoint with weights that are NaN or infinite is converted all the same.
    """

    name: str
    config: ModelConfig
    precision: Precision
    root: Path = Path(".")
    blocks: str | None = None
    prebuilt: bool = False
    files: dict[str, Any] | None = None
    allow_non_finite: bool = False

    @property
    def folder(self) -> Path:
        return model_folder(self.name, self.precision, self.root)

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """The folder's manifest when it was first asked for; empty if no complete model was there."""
        return complete_manifest(self.folder)

    @property
    def compression(self) -> dict[str, Any]:
        """Arguments of `nncf.compress_weights`, with the mode by its name, or where they were made; empty for FP16."""
        if self.prebuilt:
            return {"prebuilt": self.config.openvino_id}
        if self.blocks:
            return {"gguf": self.blocks}
        if self.precision == "FP16":
            return {}
        if self.precision == "INT8":
            return {"mode": "INT8_ASYM"}
        settings = asdict(self.config.int4)
        switched_off = [option for option in ("awq", "scale_estimation") if not settings[option]]
        return {key: value for key, value in settings.items() if key not in switched_off}

    @property
    def recorded_blocks(self) -> str | None:
        """The `blocks` from when the folder was made; None if the GGUF file has changed since."""
        return None if self.files_have_changed else kept_blocks(self.manifest)

    @property
    def needs_no_blocks(self) -> bool:
        """Whether the folder is current, and this precision keeps no blocks of the GGUF file: it need not be read."""
        recorded = self.manifest.get("gguf_type")
        may_keep = self.precision == "INT4" and (recorded is None or keeping_precision(recorded) == "INT4")
        return self.is_current and not may_keep

    @property
    def files_have_changed(self) -> bool:
        """Whether the checkpoint's files are known to be others than those that the folder was made from."""
        recorded = self.manifest.get("checkpoint_files")
        return bool(recorded and self.files) and recorded != self.files

    @property
    def identity(self) -> dict[str, Any]:
        """The manifest entries that have to be the same for a folder to hold this variant."""
        checkpoint = self.config.checkpoint
        return {
            "model_id": str(checkpoint.resolve()) if isinstance(checkpoint, Path) else self.config.model_id,
            "revision": self.config.revision,
            "precision": self.precision,
            "compression": self.compression or None,
        }

    @property
    def changes(self) -> dict[str, tuple[Any, Any]]:
        """The entries of `identity` in which the manifest differs: (the manifest's value, this variant's)."""
        return {
            key: (self.manifest.get(key), value)
            for key, value in self.identity.items()
            if self.manifest.get(key) != value
        }

    @property
    def is_current(self) -> bool:
        """Whether the folder holds this variant, complete and converted from the same files with the same settings."""
        return bool(self.manifest) and not self.changes and not self.files_have_changed


def keeping_precision(gguf_type: str) -> Precision | None:
    """The precision that means to keep the blocks of a GGUF file as they are; None if they are not quantized.

    Args:
        gguf_type: ggml's name for the type of most of the file's weights.
    """
    if gguf_type in FLOAT_TYPES:
        return None
    return "INT8" if gguf_type == "Q8_0" else "INT4"
