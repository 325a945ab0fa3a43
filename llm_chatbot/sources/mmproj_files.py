"""The `mmproj` files that belong to a GGUF model: they hold what reads images for it.

LM Studio, llama.cpp and the Hub keep them in the model's folder, by names with "mmproj"; Ollama names them in the
model's manifest.
"""

from pathlib import Path

from llm_chatbot.catalogue.gguf_names import StoredGGUF, mmproj_subject, unsplit_name
from llm_chatbot.catalogue.row import ModelConfig
from llm_chatbot.sources.gguf_files import gguf_path, ollama_projectors


def mmproj_files(config: ModelConfig) -> list[Path]:
    """Those of a model, whose GGUF file is on this machine, by what their names say.

    Raises:
        UserError: the model's file is not there.
    """
    if isinstance(config.checkpoint, StoredGGUF) and config.checkpoint.program == "ollama":
        return ollama_projectors(config.checkpoint.name)
    return mmproj_beside(gguf_path(config))


def mmproj_beside(model: Path) -> list[Path]:
    """Those in a model's folder that may be its own.

    A name that begins otherwise belongs to another model, as in llama.cpp's one folder for all. Where some say the
    model's name after "mmproj", the others are left out.
    """
    name = unsplit_name(model.name).lower()
    found = {path: subject for path in sorted(model.parent.iterdir()) if (subject := mmproj_subject(path.name))}
    mine = {path: after.lower() for path, (before, after) in found.items() if name.startswith(before.lower())}
    return [path for path, after in mine.items() if after and after in name] or list(mine)
