"""Opens a converted folder or a GGUF file with the model class for its architecture."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import openvino as ov

from llm_chatbot.adapters.opening import open_adapter
from llm_chatbot.catalogue.adapter_names import AdapterSource
from llm_chatbot.catalogue.architectures import architecture, imported
from llm_chatbot.catalogue.gguf_names import is_gguf_name
from llm_chatbot.engine.device_check import warn_of_wrong_answers
from llm_chatbot.engine.devices import check_device
from llm_chatbot.engine.files import FolderFiles, ModelFiles
from llm_chatbot.engine.gguf_file import GGUFFile, GGUFModel
from llm_chatbot.engine.model import ChatModel
from llm_chatbot.engine.precisions import KV_CACHE_PRECISIONS
from llm_chatbot.errors import UserError
from llm_chatbot.folder.manifest import ORIGINAL_MODEL_TYPE, check_complete
from llm_chatbot.machine.memory import return_freed_memory
from llm_chatbot.sources.mmproj_files import mmproj_beside


class MPTModel(ChatModel):
    """MPT. The graph contains its ALiBi biases for `max_seq_len` tokens and fails beyond."""

    can_exceed_context = False


class ChatGLMModel(ChatModel):
    """ChatGLM2 and 3, converted as a GLM or exported by an older Optimum Intel."""

    def sequence_axis(self, variable: ov.op.util.Variable) -> int:
        """Older exports keep [tokens, batch, groups, size], with two dynamic axes at the front."""
        return 0 if variable.info.data_shape[1].is_dynamic else super().sequence_axis(variable)


class Phi3Model(ChatModel):
    """Phi-3 and Phi-4-mini. Beyond `original_max_position_embeddings` all keys would have to be recomputed."""

    can_exceed_context = False

    @property
    def trained_context(self) -> int | None:
        return min(self.config["original_max_position_embeddings"], self.config["max_position_embeddings"])


def open_model(
    model: Path | str | ModelFiles,
    device: str = "CPU",
    ov_config: dict[str, Any] | None = None,
    kv_cache_gb: float | None = None,
    paged: bool = True,
    kv_cache_precision: str = "auto",
    cache_on_disk: bool = False,
    draft: Path | str | ModelFiles | None = None,
    adapters: Sequence[AdapterSource] = (),
) -> ChatModel:
    """Compiles a model for a device.

    On a GPU or NPU, the first tokens are compared with the CPU's once, and a warning is logged where they differ.
    The compiled model is cached in a folder if the device and graph allow it, which makes the next start faster.

    Args:
        model: the folder that `convert_model` returned, or a GGUF file.
        device: one of OpenVINO's devices ("CPU", "GPU", "GPU.1", "NPU") or "AUTO".
        ov_config: runtime properties; they override the engine's own.
        kv_cache_gb, paged: see `ChatModel`.
        kv_cache_precision: of keys and values, one of `KV_CACHE_PRECISIONS`. "auto" leaves it to the runtime, "u8"
            takes 0.6 of the memory and is slower in long conversations, "f16" is the runtime's 16-bit type.
        cache_on_disk: see `ChatModel`.
        draft: a smaller model of the same vocabulary, as `model`. It drafts tokens that the model verifies, where that
            is faster; the answers have the same distribution. Its keys and values take memory beside `kv_cache_gb`.
        adapters: LoRA adapters that each conversation may use, or not.

    Raises:
        UserError: it is neither a complete converted model nor a GGUF file with a supported model, there is no such
            precision, or no such device on this machine, or the device can't run the model; or the draft model has
            another vocabulary, or one of the two does not share a pool; or an adapter is none of this model's.
    """
    files = open_files(model)
    draft_files = None if draft is None else open_files(draft, reads_images=False)
    if draft_files is not None:
        check_vocabulary(files, draft_files)
    check_device(device)
    if kv_cache_precision not in KV_CACHE_PRECISIONS:
        known = ", ".join(KV_CACHE_PRECISIONS)
        raise UserError("engine.cache_precision", precision=repr(kv_cache_precision), precisions=known)
    if kv_cache_precision != "auto":
        ov_config = {"KV_CACHE_PRECISION": kv_cache_precision, **(ov_config or {})}

    def opened(device: str, properties: dict[str, Any], *options: Any) -> ChatModel:
        if isinstance(files, GGUFFile):
            return GGUFModel(files, device, properties, *options)
        place = architecture(original_model_type(files.config)).engine_model
        return (imported(place) if place else ChatModel)(files, device, properties, *options)

    try:
        found = [files.fitting(open_adapter(source)) for source in adapters]
        chat_model = opened(device, ov_config or {}, kv_cache_gb, paged, cache_on_disk, found)
        warn_of_wrong_answers(chat_model, files, device, lambda: opened("CPU", {}, None, False))
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1]
        raise UserError("engine.cannot_run", device=device, folder=files.path, reason=reason) from error
    if draft_files is not None:
        chat_model.draft = open_model(draft_files, device, ov_config, kv_cache_gb, paged, "auto", cache_on_disk)
        if chat_model.paged is None or chat_model.draft.paged is None:
            raise UserError("engine.draft_device", device=device)
    return_freed_memory()  # a tenth of it, after reading and compiling the graph
    return chat_model


def check_vocabulary(files: ModelFiles, draft_files: ModelFiles) -> None:
    """Raises a `UserError` if two models have not the same tokens: one could not draft for the other."""
    vocabularies = [each.tokenizer.backend_tokenizer.get_vocab() for each in (files, draft_files)]
    if vocabularies[0] != vocabularies[1]:
        raise UserError("engine.draft_vocabulary", draft=draft_files.path, model=files.path)


def open_files(model: Path | str | ModelFiles, reads_images: bool = True) -> ModelFiles:
    """The files that a model is opened from: a converted folder or a GGUF file.

    Args:
        reads_images: whether a GGUF file is opened with the `mmproj` file that lies beside it.

    Raises:
        UserError: it is neither, or damaged.
    """
    if not isinstance(model, Path | str):
        return model
    path = Path(model)
    if is_gguf_name(path.name) and path.is_file():
        return GGUFFile(path, mmproj=mmproj_beside(path) if reads_images else ())
    check_complete(path)
    return FolderFiles(path)


def original_model_type(config: dict[str, Any]) -> str:
    """The checkpoint's `model_type`, before a conversion that rewrote it as another architecture of Transformers."""
    return config.get(ORIGINAL_MODEL_TYPE, config["model_type"])
