"""Names of models with LoRA adapters: "base+adapter", "base+adapter:0.5", "base+first+second"."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from llm_chatbot.catalogue.gguf_names import HUB_ID, is_gguf_name, without_suffix
from llm_chatbot.errors import UserError

ADAPTER_CONFIG = "adapter_config.json"
WEIGHTED = re.compile(r"(.+):([+-]?(?:\d+\.?\d*|\.\d+))")


@dataclass(frozen=True)
class AdapterSource:
    """A LoRA adapter (Hu et al. 2021, arXiv:2106.09685) and how much of it is added to a model.

    Attributes:
        source: a folder with an `adapter_config.json`, a .gguf file, or a repository of the Hub, "org/name".
        weight: what its change of the model's weights is multiplied by.
    """

    source: Path | str
    weight: float = 1.0

    @property
    def name(self) -> str:
        """Without the path to it."""
        return self.source.name if isinstance(self.source, Path) else self.source

    def __str__(self) -> str:
        return self.name if self.weight == 1 else f"{self.name}:{self.weight:g}"

    @property
    def folder_name(self) -> str:
        """A part of a folder's name, valid on every system."""
        name = without_suffix(self.name).replace("/", "--")
        return name if self.weight == 1 else f"{name}@{self.weight:g}"


def with_adapters(name: str, adapters: Sequence[str]) -> str:
    """The name of a model with these adapters, each "adapter" or "adapter:weight"."""
    return "+".join((name, *adapters))


def split_adapters(name: str) -> tuple[str, list[str]]:
    """A model's name without its adapters, and their names. A path that is there may have a plus in it.

    "models/llama+lora:0.5" → ("models/llama", ["lora:0.5"])
    """
    parts: list[str] = []
    left = name
    while left:
        ends = [match.start() for match in re.finditer(r"\+", left)]
        whole = (left[:end] for end in (len(left), *reversed(ends)) if _is_there(_without_weight(left[:end])))
        part = next(whole, left[: ends[0]] if ends else left)
        parts.append(part)
        left = left[len(part) + 1 :]
    return (parts[0], parts[1:]) if parts else (name, [])


def parse_adapter(text: str) -> AdapterSource:
    """An adapter by the name that a user gave: "adapter" or "adapter:weight". Whether there is one is not looked at."""
    name = _without_weight(text)
    weight = 1.0 if name == text else float(text[len(name) + 1 :])
    is_on_hub = re.fullmatch(HUB_ID, name) and not is_gguf_name(name) and not _is_there(name)
    return AdapterSource(name if is_on_hub else Path(name), weight)


def read_adapter(text: str) -> AdapterSource:
    """As `parse_adapter`.

    Raises:
        UserError: there is no adapter of this name on this machine, and it is no repository's.
    """
    adapter = parse_adapter(text)
    path = adapter.source
    if isinstance(path, str) or _is_there(path / ADAPTER_CONFIG) or (is_gguf_name(path.name) and path.is_file()):
        return adapter
    if _is_there(path):
        raise UserError("adapter.none_there", path=path)
    raise UserError("adapter.unknown", name=repr(str(path)[:200]))


def read_named_adapter(text: str) -> tuple[str, AdapterSource]:
    """An adapter by the name that requests will call it: "name=adapter", each as for `read_adapter`.

    Raises:
        UserError: there is no name or no such adapter.
    """
    name, equals, adapter = text.partition("=")
    if not (name and equals and adapter):
        raise UserError("adapter.no_name", text=f"{text!r:.200}")
    return name, read_adapter(adapter)


def _without_weight(text: str) -> str:
    match = None if _is_there(text) else WEIGHTED.fullmatch(text)
    return match[1] if match else text


def _is_there(text: str | Path) -> bool:
    try:
        return Path(text).exists()
    except (OSError, ValueError):
        return False
