"""The folder of compiled models in a converted folder, which makes the next start faster."""

import hashlib
import os
import shutil
from pathlib import Path
from typing import Any

import openvino as ov

from llm_chatbot.folder.manifest import MODEL_CACHE, graph_files


def compile_cache(model_dir: Path) -> dict[str, str]:
    """The runtime property for the folder of compiled models; empty if the folder can't be written to.

    The name is a hash of the size and time of the model's files. Folders for earlier versions of them are removed.
    """
    files = [file.with_suffix(suffix) for file in graph_files(model_dir) for suffix in (".xml", ".bin")]
    facts = [(path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    root = model_dir / MODEL_CACHE
    current = root / hashlib.sha256(repr(facts).encode()).hexdigest()[:16]
    try:
        current.mkdir(parents=True, exist_ok=True)
        for other in set(root.iterdir()) - {current}:
            shutil.rmtree(other, ignore_errors=True)
    except OSError:
        return {}
    return {"CACHE_DIR": str(current)} if os.access(current, os.W_OK) else {}


def compile_with_cache(
    graph: ov.Model, device: str, properties: dict[str, Any], cache: dict[str, str]
) -> ov.CompiledModel:
    """Compiles a graph or loads it from the compile cache. If that fails, clears the cache and compiles again."""
    core, properties = ov.Core(), {**cache, **properties}
    try:
        return core.compile_model(graph, device, properties)
    except RuntimeError:
        if not cache:
            raise
        shutil.rmtree(cache["CACHE_DIR"], ignore_errors=True)
        return core.compile_model(graph, device, properties)
