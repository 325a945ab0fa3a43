"""A fast tokenizer → OpenVINO models of it and its detokenizer, with the same ids and texts as far as they can be had.

What OpenVINO Tokenizers 2026.4.1 does otherwise is asked for in another form here. What remains is measured, see
`llm_chatbot.convert.facts.folder_facts`.
"""

import json
import re
import tempfile
from pathlib import Path
from typing import Any

import openvino as ov
from openvino_tokenizers import convert_tokenizer
from openvino_tokenizers.tokenizer_pipeline import RegexNormalizationStep
from transformers import PreTrainedTokenizerFast

from llm_chatbot.folder.manifest import DETOKENIZER_XML, TOKENIZER_XML

# The spelling of a single-word token while OpenVINO tokenizes: characters for private use, which nobody types.
RESPELLED = "\ue000{}\ue001"


def save_as_openvino(tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Writes a tokenizer and its detokenizer as OpenVINO models.

    The option of an added token to match single words only is ignored, and "eop" would be found in "people". So such
    tokens get another spelling in the converted tokenizer, and a first step respells them in the text where they are
    single words.

    The detokenizer doesn't clean up spaces, as `tokenizer.json` doesn't: it would take the space before a backslash
    away, of formulas and paths.
    """
    words = [token.content for token in tokenizer.added_tokens_decoder.values() if token.single_word]
    source = _rewritten(tokenizer, words)
    ov_tokenizer, ov_detokenizer = convert_tokenizer(source, with_detokenizer=True, clean_up_tokenization_spaces=False)
    if words:
        letter = r"[\p{L}\p{M}\p{Nd}\p{Nl}\p{Pc}]"
        respell = RegexNormalizationStep(
            rf"(?<!{letter})({'|'.join(map(re.escape, words))})(?!{letter})", RESPELLED.format("$1")
        )
        split = next(node for node in ov_tokenizer.get_ops() if node.get_type_name() == "SpecialTokensSplit")
        strings = slice(2, 5)  # where each begins and ends, and their characters
        for old, new in zip(
            split.inputs()[strings], respell.get_ov_subgraph(split.input_values()[strings]), strict=True
        ):
            old.replace_source_output(new)
    ov.save_model(ov_tokenizer, folder / TOKENIZER_XML)
    ov.save_model(ov_detokenizer, folder / DETOKENIZER_XML)


def _rewritten(tokenizer: PreTrainedTokenizerFast, words: list[str]) -> PreTrainedTokenizerFast:
    """The tokenizer in a form that OpenVINO Tokenizers reads rightly.

    Args:
        words: added tokens that get another spelling, `RESPELLED`.
    """
    description = json.loads(tokenizer.backend_tokenizer.to_str())
    spelled_out = _with_digits_spelled_out(description["pre_tokenizer"])
    if not words and spelled_out == description["pre_tokenizer"]:
        return tokenizer
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save_pretrained(folder)
        for path in Path(folder).glob("tokenizer*.json"):
            content = json.loads(path.read_text(encoding="utf-8"))
            if path.name == "tokenizer.json":
                content["pre_tokenizer"] = spelled_out
            text = json.dumps(content, ensure_ascii=False)
            for token in words:
                text = text.replace(
                    json.dumps(token, ensure_ascii=False), json.dumps(RESPELLED.format(token), ensure_ascii=False)
                )
            path.write_text(text, encoding="utf-8")
        return PreTrainedTokenizerFast.from_pretrained(folder)


def _with_digits_spelled_out(pre_tokenizer: Any) -> Any:
    """A pre-tokenizer with a regular expression for each step that splits digits.

    OpenVINO knows only decimal digits there, and keeps the space before others with them, like that of "½ ²".
    """
    if isinstance(pre_tokenizer, dict) and pre_tokenizer.get("type") == "Digits":
        pattern = r"\p{N}" if pre_tokenizer["individual_digits"] else r"\p{N}+"
        return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
    if isinstance(pre_tokenizer, dict) and pre_tokenizer.get("type") == "Sequence":
        return {
            **pre_tokenizer,
            "pretokenizers": [_with_digits_spelled_out(one) for one in pre_tokenizer["pretokenizers"]],
        }
    return pre_tokenizer
