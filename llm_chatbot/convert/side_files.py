"""The files beside the graph in a folder: the model's settings and its tokenizer."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerFast

from llm_chatbot.convert.tokenizer.openvino_tokenizers import save_as_openvino


def write_side_files(
    folder: Path, tokenizer: PreTrainedTokenizerFast, config: Mapping[str, Any], generation: Mapping[str, Any]
) -> None:
    """Writes `config.json`, `generation_config.json` and the tokenizer, for Transformers and for OpenVINO GenAI.

    Args:
        config, generation: the contents of the first two.
    """
    for name, content in {"config.json": config, "generation_config.json": generation}.items():
        (folder / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    tokenizer.save_pretrained(folder)
    save_as_openvino(tokenizer, folder)
