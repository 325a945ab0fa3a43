"""A fast tokenizer → OpenVINO models of it and its detokenizer, with the same ids and texts as far as they can be had.

What OpenVINO Tokenizers 2026.4.1 does otherwise is asked for in another form here. What remains is measured, see
`llm_chatbot.convert.facts.folder_facts`.
"""

import json
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path

import openvino as ov
from openvino_tokenizers import convert_tokenizer
from openvino_tokenizers.tokenizer_pipeline import RegexNormalizationStep, RegexSplitStep, TokenizerPipeline
from transformers import PreTrainedTokenizerFast

from llm_chatbot.convert.patching import patched
from llm_chatbot.folder.manifest import DETOKENIZER_XML, TOKENIZER_XML

# Where the name of a byte's token is split, and what the tokens that it splits contain.
IN_BYTE_NAME, SPLIT_TEXT = "<(?=0x[0-9A-F]{2}>)", "<0"
BYTE_NAME = re.compile("<0x[0-9A-F]{2}>")

# The spelling of a single-word token while OpenVINO tokenizes: characters for private use, which nobody types.
RESPELLED = "\ue000{}\ue001"


def save_as_openvino(tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Writes a tokenizer and its detokenizer as OpenVINO models.

    The option of an added token to match single words only is ignored, and "eop" would be found in "people". So such
    tokens get another spelling in the converted tokenizer, and a first step respells them in the text where they are
    single words.

    The name of a byte's token, such as <0x0A>, would become the byte where somebody typed it. So it is split in two,
    which changes nothing else where no other token contains the place of the split.

    Splits by several patterns stay steps of their own. Joined to one pattern, as OpenVINO Tokenizers does it, the later
    ones see across the places where the earlier ones split.

    The detokenizer doesn't clean up spaces, as `tokenizer.json` doesn't: it would take the space before a backslash
    away, of formulas and paths.
    """
    words = [token.content for token in tokenizer.added_tokens_decoder.values() if token.single_word]
    source = _respelled(tokenizer, words) if words else tokenizer
    with patched(TokenizerPipeline, "merge_regex_split_steps", lambda merge: lambda pipeline: None):
        ov_tokenizer, ov_detokenizer = convert_tokenizer(
            source, with_detokenizer=True, clean_up_tokenization_spaces=False
        )
    if words:
        letter = r"[\p{L}\p{M}\p{Nd}\p{Nl}\p{Pc}]"
        respell = RegexNormalizationStep(
            rf"(?<!{letter})({'|'.join(map(re.escape, words))})(?!{letter})", RESPELLED.format("$1")
        )
        split = next(node for node in ov_tokenizer.get_ops() if node.get_type_name() == "SpecialTokensSplit")
        strings = slice(2, 5)  # where each begins and ends, and their characters
        _replace(split.inputs()[strings], respell.get_ov_subgraph(split.input_values()[strings]))
    if _has_bytes(tokenizer):
        _split_byte_names(ov_tokenizer)
    ov.save_model(ov_tokenizer, folder / TOKENIZER_XML)
    ov.save_model(ov_detokenizer, folder / DETOKENIZER_XML)


def _has_bytes(tokenizer: PreTrainedTokenizerFast) -> bool:
    """Whether there are tokens for bytes, and no other token contains where their names are split."""
    names = [token for token in tokenizer.get_vocab() if SPLIT_TEXT in token]
    return bool(names) and all(map(BYTE_NAME.fullmatch, names))


def _split_byte_names(ov_tokenizer: ov.Model) -> None:
    """Splits the names of bytes in the text before the BPE merges it."""
    step = RegexSplitStep(IN_BYTE_NAME, behaviour="mergedwithprevious")
    for bpe in (node for node in ov_tokenizer.get_ops() if node.get_type_name() == "BPETokenizer"):
        pieces = slice(0, 5)  # where the texts begin and end in the pieces, where those do, and their characters
        found = bpe.input_values()[pieces]
        # Whether a piece is an added token. Without it, the split sees only the first of them.
        skips = [output for output in found[2].get_node().outputs() if output.get_element_type() == ov.Type.boolean]
        _replace(bpe.inputs()[pieces], step.get_ov_subgraph([*found, *skips])[pieces])


def _replace(inputs: Sequence[ov.Input], sources: Sequence[ov.Output]) -> None:
    for old, new in zip(inputs, sources, strict=True):
        old.replace_source_output(new)


def _respelled(tokenizer: PreTrainedTokenizerFast, tokens: list[str]) -> PreTrainedTokenizerFast:
    """A copy of a tokenizer with another spelling, `RESPELLED`, for some of its added tokens."""
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save_pretrained(folder)
        for path in Path(folder).glob("tokenizer*.json"):
            text = path.read_text(encoding="utf-8")
            for token in tokens:
                text = text.replace(json.dumps(token), json.dumps(RESPELLED.format(token)))
            path.write_text(text, encoding="utf-8")
        return PreTrainedTokenizerFast.from_pretrained(folder)
