"""How each kind of model wants its pictures: resized, cut and normalized as Transformers' processors do it.

No code of Transformers is used or copied here: tests/engine/vision compares the results, pixel by pixel. A processor is
found by the name that a checkpoint's `preprocessor_config.json` has for it.
"""

from collections.abc import Callable, Mapping
from typing import Any

from llm_chatbot.engine.vision.one_size import CLIPProcessor, Gemma3Processor
from llm_chatbot.engine.vision.own_shape import Gemma4Processor, PixtralProcessor, Qwen2VLProcessor
from llm_chatbot.engine.vision.prepared import Processor
from llm_chatbot.engine.vision.tiles import Idefics3Processor, InternVLProcessor
from llm_chatbot.errors import UserError
from llm_chatbot.folder.image_settings import processor_name

# By the name of Transformers' class; `KNOWN_PROCESSORS` are the same names.
PROCESSORS: dict[str, Callable[[Mapping[str, Any], Mapping[str, Any]], Processor]] = {
    "CLIPImageProcessor": CLIPProcessor,
    "Gemma3ImageProcessor": Gemma3Processor,
    "Gemma4ImageProcessor": Gemma4Processor,
    "GotOcr2ImageProcessor": InternVLProcessor,
    "Idefics3ImageProcessor": Idefics3Processor,
    "PixtralImageProcessor": PixtralProcessor,
    "Qwen2VLImageProcessor": Qwen2VLProcessor,
    "SmolVLMImageProcessor": Idefics3Processor,
}


def processor_of(settings: Mapping[str, Any], config: Mapping[str, Any], place: object) -> Processor:
    """The processor that a folder's settings name.

    Args:
        settings: the content of `preprocessor_config.json`.
        config: that of `config.json`.
        place: the file, for messages.

    Raises:
        UserError: it is an unknown one, or its settings are damaged.
    """
    name = processor_name(settings, place)
    try:
        return PROCESSORS[name](settings, config)
    except (LookupError, TypeError, ValueError) as error:
        raise UserError("image.settings", file=place) from error
