"""Opens a converted folder, with a class of its own for the architectures whose context or state differs."""

from pathlib import Path
from typing import Any

from config import UserError
from engine.devices import check_device
from engine.model import ChatModel, read_config
from engine.qwen import QwenModel
from model_folder import ORIGINAL_MODEL_TYPE, check_complete

import openvino as ov


class MPTModel(ChatModel):
    """MPT. It knows positions by ALiBi, whose biases the graph has for `max_seq_len` tokens: beyond them it fails."""

    can_exceed_context = False


class ChatGLMModel(ChatModel):
    """ChatGLM2 and 3, as the GLM that they are or as an older Optimum Intel exported them."""

    def sequence_axis(self, variable: ov.op.util.Variable) -> int:
        """Older exports keep [tokens, batch, groups, size], with two dynamic axes at the front."""
        return 0 if variable.info.data_shape[1].is_dynamic else super().sequence_axis(variable)


class Phi3Model(ChatModel):
    """Phi-3 and Phi-4-mini. Beyond `original_max_position_embeddings` all keys would have to be computed anew."""

    can_exceed_context = False

    @property
    def trained_context(self) -> int | None:
        return min(self.config["original_max_position_embeddings"], self.config["max_position_embeddings"])


# By the `model_type` of the checkpoint.
ARCHITECTURES: dict[str, type[ChatModel]] = {
    "chatglm": ChatGLMModel,
    "mpt": MPTModel,
    "phi3": Phi3Model,
    "qwen": QwenModel,
}


def open_model(
    model_dir: Path | str,
    device: str = "CPU",
    ov_config: dict[str, Any] | None = None,
    kv_cache_gb: float | None = None,
    paged: bool = True,
) -> ChatModel:
    """Compiles a converted folder for a device.

    What the runtime compiles is kept in the folder, so that the next start is faster.

    Args:
        model_dir: what `convert_model` returned.
        device: one of OpenVINO's devices ("CPU", "GPU", "GPU.1", "NPU") or "AUTO".
        ov_config: properties for the runtime; they win over the engine's own.
        kv_cache_gb, paged: see `ChatModel`.

    Raises:
        UserError: the folder is not a whole converted model, there is no such device on this machine, or
            the device can't run the model.
    """
    model_dir = Path(model_dir)
    check_complete(model_dir)
    check_device(device)
    config = read_config(model_dir)
    try:
        model_class = ARCHITECTURES.get(original_model_type(config), ChatModel)
        return model_class(model_dir, config, device, ov_config or {}, kv_cache_gb, paged)
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1]
        raise UserError(f"{device} can't run {model_dir} ({reason}); try another device or convert again.") from error


def original_model_type(config: dict[str, Any]) -> str:
    """What the checkpoint was before it was rewritten as an architecture of Transformers, or else what it is."""
    return config.get(ORIGINAL_MODEL_TYPE, config["model_type"])
