"""The parts of the vision tower for each projector of `mmproj` files: one row for each.

As for decoders, a tensor that is there is used: biases, norms before and after all layers, the vector of the whole
picture.
The names are llama.cpp's: https://github.com/ggml-org/llama.cpp/tree/master/tools/mtmd/models
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import openvino as ov

from llm_chatbot.decoder.keys import Keys
from llm_chatbot.folder.manifest import MERGER_XML, VISION_XML
from llm_chatbot.tower import pixtral, settings
from llm_chatbot.tower.layers import Tower
from llm_chatbot.tower.settings import TowerSettings
from llm_chatbot.tower.squares import embedded_patches, merged_squares
from llm_chatbot.tower.still import gemma3_tower, idefics3_tower, llava_tower


@dataclass(frozen=True)
class TowerRow:
    """The parts that a file's tensors don't tell.

    Attributes:
        graphs: makes each graph of the tower, by its name in a converted folder.
        settings: what a checkpoint says in `preprocessor_config.json`, and of its `config.json` what the processor
            reads, from the file's keys.
        norm: see `DecoderRow`.
        on_axes: whether the language model has positions in time, height and width.
        rotates_neighbours: whether neighbours in a query or key are rotated together, and not values of its halves.
    """

    graphs: Mapping[str, Callable[[Tower], ov.Model]]
    settings: Callable[[Keys], TowerSettings]
    norm: str = "layer"
    on_axes: bool = False
    rotates_neighbours: bool = False


SQUARES = {VISION_XML: embedded_patches, MERGER_XML: merged_squares}

TOWERS = {
    "gemma3": TowerRow({VISION_XML: gemma3_tower}, settings.gemma3),
    "mlp": TowerRow({VISION_XML: llava_tower}, settings.clip),
    "idefics3": TowerRow({VISION_XML: idefics3_tower}, settings.idefics3),
    "pixtral": TowerRow(pixtral.GRAPHS, settings.pixtral, norm="rms", rotates_neighbours=True),
    "qwen3vl_merger": TowerRow(SQUARES, settings.qwen3vl, on_axes=True),
    "qwen2vl_merger": TowerRow(SQUARES, settings.qwen2vl, on_axes=True),
    "qwen2.5vl_merger": TowerRow(SQUARES, settings.qwen2vl, norm="rms", on_axes=True),
}
