"""Whether a folder holds what is wanted, or has to be converted again. No other place decides that."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llm_chatbot.catalogue.adapter_names import AdapterSource
from llm_chatbot.folder.manifest import complete_manifest
from llm_chatbot.folder.variant import Variant


@dataclass(frozen=True)
class Found:
    """The folder where a variant belongs, compared with the variant.

    Attributes:
        manifest: of the folder; empty if it isn't there or a file is missing.
        changes: the entries of `identity` in which it differs, as (the manifest's value, the wanted one).
        has_other_files: whether the checkpoint's files are known to be others than those that it was made from.
    """

    manifest: dict[str, Any]
    changes: dict[str, tuple[Any, Any]]
    has_other_files: bool

    @property
    def is_current(self) -> bool:
        """Whether the folder is complete, and made from the same files with the same settings."""
        return bool(self.manifest) and not self.changes and not self.has_other_files

    @property
    def reason(self) -> str:
        """Why a complete folder is not current, as a clause."""
        changes = ", ".join(f"{_plain(old)} → {_plain(new)}" for old, new in self.changes.values())
        return "its checkpoint has changed" if self.has_other_files else f"its settings have changed: {changes}"


def compare_folder(variant: Variant) -> Found:
    """Reads the manifest where a variant belongs, and compares."""
    manifest = complete_manifest(variant.folder)
    wanted = identity(variant)
    recorded = manifest.get("checkpoint_files")
    return Found(
        manifest,
        {key: (manifest.get(key), value) for key, value in wanted.items() if manifest.get(key) != value},
        bool(recorded and variant.files) and recorded != variant.files,
    )


def identity(variant: Variant) -> dict[str, Any]:
    """The manifest's entries that have to be the same for a folder to hold this variant."""
    checkpoint, config = variant.config.checkpoint, variant.config
    model_id = str(checkpoint.resolve()) if isinstance(checkpoint, Path) else config.model_id
    settings = {
        "precision": variant.precision,
        "compression": variant.compression or None,
        "text_only": variant.text_only or None,
    }
    adapters = [_adapter(adapter) for adapter in config.adapters]
    return {"model_id": model_id, "revision": config.revision, **settings, "adapters": adapters or None}


def _adapter(adapter: AdapterSource) -> str:
    source = adapter.source.resolve() if isinstance(adapter.source, Path) else adapter.source
    return f"{source}:{adapter.weight:g}"


def _plain(value: Any) -> str:
    return " ".join(f"{key} {item}" for key, item in value.items()) if isinstance(value, dict) else str(value)
