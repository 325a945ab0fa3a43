"""Finds the files that a model is opened from: its converted folder, or its GGUF file as it is."""

from pathlib import Path

from llm_chatbot.catalogue.lookup import get_model_config
from llm_chatbot.engine.files import FolderFiles, ModelFiles
from llm_chatbot.engine.gguf_file import GGUFFile
from llm_chatbot.errors import UserError
from llm_chatbot.folder.found import converted_folder
from llm_chatbot.folder.place import AS_IN_FILE, precisions_of
from llm_chatbot.sources.gguf_files import gguf_path
from llm_chatbot.sources.mmproj_files import mmproj_of


def model_files(
    name: str, precision: str, root: Path, may_be_file: bool = True, mmproj: Path | bool = True
) -> ModelFiles:
    """The files that a model is opened from. A GGUF file is downloaded if necessary.

    Args:
        name: see `get_model_config`.
        precision: of the folder, or `AS_IN_FILE` for the GGUF file itself.
        root: the folder of the converted models.
        may_be_file: whether `AS_IN_FILE` is the file; otherwise it is the folder with the file's weights.
        mmproj: what reads images for a GGUF file; True: the one that lies beside it; False: nothing.

    Raises:
        UserError: there is no such model or precision, it is not converted, or the file can't be had or is damaged.
    """
    if precision != AS_IN_FILE or not may_be_file:
        if isinstance(mmproj, Path):
            raise UserError("mmproj.no_gguf", name=name)
        return FolderFiles(converted_folder(name, precision, root))
    config = get_model_config(name)
    if config.is_gguf and config.adapters:
        raise UserError("adapter.precision", precisions=", ".join(precisions_of(config)))
    if not config.is_gguf:
        raise UserError("model.no_gguf", name=name, precisions=", ".join(precisions_of(config)))
    path = gguf_path(config, images=mmproj is True)
    towers = mmproj if isinstance(mmproj, Path) else mmproj_of(config, path) if mmproj else ()
    return GGUFFile(path, config.chat_format, config.gpu_precision, towers)
