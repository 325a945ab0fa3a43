"""The precisions that a model can be prepared in, by the names that people read."""

from llm_chatbot.catalogue.row import GGUFWheel, ModelConfig
from llm_chatbot.folder.place import AS_IN_FILE, Precision, as_in_file, precisions_of
from llm_chatbot.gguf.header import read_gguf_header
from llm_chatbot.sources.gguf_files import gguf_path


def precision_names(config: ModelConfig) -> dict[Precision, str]:
    """A model's precisions with their names, the smallest first. A GGUF file's own has that of the file.

    Raises:
        UserError: the GGUF file can't be had, or is damaged.
    """
    names: dict[Precision, str] = {precision: precision for precision in reversed(precisions_of(config))}
    if AS_IN_FILE in names:
        names[AS_IN_FILE] = as_in_file(_quantization(config))
    return names


def _quantization(config: ModelConfig) -> str:
    """How the model's GGUF file is quantized. It is downloaded if necessary, unless the catalogue knows it."""
    if isinstance(config.checkpoint, GGUFWheel):
        return config.checkpoint.quantization
    return read_gguf_header(gguf_path(config)).quantization
