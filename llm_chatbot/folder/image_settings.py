"""The settings of a model for images, `preprocessor_config.json`: which of Transformers' processors prepares them."""

from collections.abc import Mapping
from typing import Any

from llm_chatbot.errors import UserError

# Those that `llm_chatbot.engine.vision.processors` has.
KNOWN_PROCESSORS = (
    "CLIPImageProcessor",
    "Gemma3ImageProcessor",
    "Gemma4ImageProcessor",
    "GotOcr2ImageProcessor",
    "Idefics3ImageProcessor",
    "PixtralImageProcessor",
    "Qwen2VLImageProcessor",
    "SmolVLMImageProcessor",
)


def processor_name(settings: Mapping[str, Any], place: object) -> str:
    """The name of the processor's class. Newer checkpoints have "Fast" at its end, for one that computes the same.

    Args:
        settings: the content of the file.
        place: the file, for messages.

    Raises:
        UserError: it is none of `KNOWN_PROCESSORS`.
    """
    name = str(settings.get("image_processor_type")).removesuffix("Fast")
    if name not in KNOWN_PROCESSORS:
        raise UserError("image.processor", file=place, name=repr(name), known=", ".join(KNOWN_PROCESSORS))
    return name
