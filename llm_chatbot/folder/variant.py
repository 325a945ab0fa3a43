"""A model in one precision: what its folder is to hold. `folder/current.py` says whether it does."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from llm_chatbot.catalogue.row import ModelConfig
from llm_chatbot.folder.place import AS_IN_FILE, Precision, model_folder


@dataclass(frozen=True)
class Variant:
    """A model in one precision, and its place on disk.

    Attributes:
        name: as the user gave it; see `get_model_config`.
        config: the model's row of the catalogue, with the INT4 settings to use.
        precision: of the weights.
        root: the folder that holds all converted models.
        prebuilt: whether the folder is OpenVINO's own, see `ModelConfig.openvino_id`.
        files: what identifies the checkpoint's files that are on this machine now, see
            `llm_chatbot.sources.gguf_files.found_files`; None: they were not looked for or are not there.
        allow_non_finite: whether a checkpoint with weights that are NaN or infinite is converted all the same.
        direct: whether a checkpoint's graph is written by `llm_chatbot.decoder`, as a GGUF file's, and not exported.
        text_only: whether what reads images is left out.
    """

    name: str
    config: ModelConfig
    precision: Precision
    root: Path = Path(".")
    prebuilt: bool = False
    files: dict[str, Any] | None = None
    allow_non_finite: bool = False
    direct: bool = False
    text_only: bool = False

    @property
    def folder(self) -> Path:
        return model_folder(self.name, self.precision, self.root)

    @property
    def compression(self) -> dict[str, Any]:
        """Arguments of `nncf.compress_weights`, with the mode by its name, or where they were made; empty for none."""
        if self.prebuilt:
            return {"prebuilt": self.config.openvino_id}
        if self.precision in ("FP16", AS_IN_FILE):
            return {}
        if self.precision == "INT8":
            return {"mode": "INT8_ASYM"}
        settings = asdict(self.config.int4)
        switched_off = [option for option in ("awq", "scale_estimation") if not settings[option]]
        return {key: value for key, value in settings.items() if key not in switched_off}
