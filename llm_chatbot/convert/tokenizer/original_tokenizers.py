"""A checkpoint's tokenizer files, in their original format → a fast tokenizer.

No code of a checkpoint is run: formats that its own Python file would read are read here.
"""

import base64
import json
import re
import shutil
import tempfile
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import openvino as ov
from openvino_tokenizers import convert_tokenizer
from openvino_tokenizers.tokenizer_pipeline import RegexNormalizationStep
from sentencepiece import SentencePieceProcessor
from tokenizers import AddedToken, Tokenizer, models, processors
from transformers import GPT2Tokenizer, PreTrainedTokenizerFast, Qwen2Tokenizer
from transformers.convert_slow_tokenizer import bytes_to_unicode

from llm_chatbot.convert.checkpoint.json_files import damaged, read_json
from llm_chatbot.errors import UserError
from llm_chatbot.gguf.bpe import QWEN_SPLIT, byte_level_bpe, scored_bpe

# The files that can hold a tokenizer's settings, beside its vocabulary.
SETTINGS_FILES = (
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "chat_template.json",
)

# By `tokenizer_class`: the classes that read a vocab.json with a merges.txt.
CLASSES_WITH_MERGES = {"GPT2Tokenizer": GPT2Tokenizer, "Qwen2Tokenizer": Qwen2Tokenizer}

# Their ids come after the ranks.
QWEN_SPECIAL_TOKENS = (
    *("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<R>", "<S>", "<X>", "<mask>", "<sep>"),
    *(f"<extra_{number}>" for number in range(200)),
)

# Their ids come after the SentencePiece model's.
CHATGLM3_SPECIAL_TOKENS = (
    *("[MASK]", "[gMASK]", "[sMASK]", "sop", "eop"),
    *("<|system|>", "<|user|>", "<|assistant|>", "<|observation|>"),
)

# The spelling of a single-word token while OpenVINO tokenizes: characters for private use, which nobody types.
RESPELLED = "\ue000{}\ue001"


def read_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    """The tokenizer of a checkpoint. What `save_pretrained` writes of it needs none of the checkpoint's code.

    A `tokenizer.json` is used unchanged. `AutoTokenizer` is not, because Transformers 5.5.4 rebuilds the tokenizers of
    some classes from the vocabulary alone. If a checkpoint names the wrong class, as DeepSeek's distilled Llama does,
    that is a different tokenizer.

    Args:
        folder: the checkpoint, with its `config.json`.

    Raises:
        UserError: the files are missing, damaged or in an unknown format.
    """
    model_type = read_json(folder / "config.json").get("model_type")
    if model_type in ORIGINAL_FORMATS:
        name, read = ORIGINAL_FORMATS[model_type]
        if (folder / name).is_file() or not (folder / "tokenizer.json").is_file():
            return read(folder)
    if (folder / "tokenizer.json").is_file():
        _check_tokenizer(folder / "tokenizer.json")
        tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    elif (folder / "tokenizer.model").is_file():
        tokenizer = _read_sentencepiece_tokenizer(folder)
    elif (folder / "vocab.json").is_file() and (folder / "merges.txt").is_file():
        tokenizer = _read_vocabulary_and_merges(folder)
    else:
        raise UserError("tokenizer.missing", folder=folder)
    tokenizer.init_kwargs.pop("auto_map", None)
    return tokenizer


def _check_tokenizer(path: Path) -> None:
    """Raises a `UserError` if this is no `tokenizer.json`, or one without a vocabulary."""
    content = path.read_bytes()
    try:
        tokenizer = Tokenizer.from_buffer(content)
    except Exception as error:  # tokenizers has no class for it: what it can't read is a bare `Exception`
        raise damaged(path) from error
    if not tokenizer.get_vocab_size(with_added_tokens=False):
        raise damaged(path)


def read_qwen_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    """Qwen v1's tokenizer from `qwen.tiktoken`: byte-level BPE whose merges are implied by the tokens' ranks.

    The EOS token is the one between documents in training; `<|im_end|>`, which ends an answer, is part of the chat
    format.

    Raises:
        UserError: the file is missing or damaged.
    """
    path = folder / "qwen.tiktoken"
    ranks = _read_ranks(path)
    try:
        merges = _merges_of(ranks)
    except ValueError as error:
        raise damaged(path) from error
    spelling = bytes_to_unicode()
    spelled = {token: "".join(spelling[byte] for byte in token) for token in ranks}
    tokenizer = byte_level_bpe(
        ids={spelled[token]: rank for token, rank in ranks.items()},
        merges=[(spelled[left], spelled[right]) for left, right in merges],
        patterns=[QWEN_SPLIT],
        compose=True,
    )
    tokenizer.add_special_tokens(list(QWEN_SPECIAL_TOKENS))
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|endoftext|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=list(QWEN_SPECIAL_TOKENS[1:]),
        **_own_settings(folder),
    )


def read_chatglm3_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    """ChatGLM3's tokenizer from `tokenizer.model`.

    `sop` and `eop` count as special tokens only between non-letters: a chat template writes `[gMASK]sop`, but
    "philosophy" and "people" contain them too.

    Raises:
        UserError: the file is missing or damaged.
    """
    tokenizer = _sentencepiece_tokenizer(folder / "tokenizer.model")
    tokenizer.add_special_tokens(
        [AddedToken(token, special=True, single_word=token.isalpha()) for token in CHATGLM3_SPECIAL_TOKENS]
    )
    start = [(token, tokenizer.token_to_id(token)) for token in ("[gMASK]", "sop")]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[gMASK] sop $A", pair="[gMASK] sop $A $B", special_tokens=start
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        pad_token="<unk>",
        additional_special_tokens=list(CHATGLM3_SPECIAL_TOKENS),
        padding_side="left",
        **_own_settings(folder),
    )


ORIGINAL_FORMATS: dict[str, tuple[str, Callable[[Path], PreTrainedTokenizerFast]]] = {
    "qwen": ("qwen.tiktoken", read_qwen_tokenizer),
    "chatglm": ("tokenizer.model", read_chatglm3_tokenizer),
}


def save_as_openvino(tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Writes a tokenizer and its detokenizer as OpenVINO models.

    OpenVINO Tokenizers 2026.4.1 ignores the option of an added token to match single words only, and would find "eop"
    in "people". So such tokens get another spelling in the converted tokenizer, and a first step respells them in the
    text where they are single words.
    """
    words = [token.content for token in tokenizer.added_tokens_decoder.values() if token.single_word]
    source = _respelled(tokenizer, words) if words else tokenizer
    ov_tokenizer, ov_detokenizer = convert_tokenizer(source, with_detokenizer=True)
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
    ov.save_model(ov_tokenizer, folder / "openvino_tokenizer.xml")
    ov.save_model(ov_detokenizer, folder / "openvino_detokenizer.xml")


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


def _read_ranks(path: Path) -> dict[bytes, int]:
    """Reads a tiktoken vocabulary. Each line has a token in Base64 and its rank, which is its id."""
    try:
        lines = [line.split() for line in path.read_bytes().splitlines()]
        ranks = {base64.b64decode(token, validate=True): int(rank) for token, rank in lines}
    except FileNotFoundError as error:
        raise _missing(path) from error
    except ValueError as error:
        raise damaged(path) from error
    if len(ranks) < 256 or sorted(ranks.values()) != list(range(len(ranks))):
        raise damaged(path)
    return ranks


def _merges_of(ranks: dict[bytes, int]) -> list[tuple[bytes, bytes]]:
    """The merges of a byte-level BPE vocabulary, by priority: for each token, the two tokens that form it.

    They are what remains when the token's bytes are merged with all tokens of a lower rank.

    Raises:
        ValueError: these are not the ranks of such a vocabulary.
    """

    def halves(token: bytes) -> list[bytes]:
        parts = [token[index : index + 1] for index in range(len(token))]
        while len(parts) > 2:
            pairs = [ranks.get(left + right, ranks[token]) for left, right in pairwise(parts)]
            first = min(range(len(pairs)), key=pairs.__getitem__)
            if pairs[first] >= ranks[token]:
                raise ValueError(f"no merges form {token!r}")
            parts[first : first + 2] = [parts[first] + parts[first + 1]]
        return parts

    return [
        (left, right)
        for left, right in (halves(token) for token in sorted(ranks, key=ranks.__getitem__) if len(token) > 1)
    ]


def _sentencepiece_tokenizer(path: Path) -> Tokenizer:
    """The tokenizer of a SentencePiece BPE model, checked against SentencePiece on its whole vocabulary."""
    if not path.is_file():
        raise _missing(path)
    try:
        model = SentencePieceProcessor(model_file=str(path))
    except (RuntimeError, OSError) as error:
        raise damaged(path) from error
    ids = range(model.get_piece_size())
    pieces = [model.id_to_piece(id) for id in ids]
    controls = [pieces[id] for id in ids if model.is_control(id) or model.is_unknown(id)]
    mergeable = [id for id in ids if not model.is_byte(id) and pieces[id] not in controls]
    tokenizer = scored_bpe(
        pieces,
        scores=[model.get_score(id) for id in ids],
        mergeable=mergeable,
        unknown=pieces[model.unk_id()],
        dummy_prefix=model.normalize("a") == "▁a",
    )
    # Models of another type, or with another normalization of characters or spaces, differ here.
    texts = ["  a  b  ", "ﬁ Ａ ½ e\u0301", "\U0001f9ff\n", *(pieces[id].replace("▁", " ") for id in mergeable)]
    if [encoding.ids for encoding in tokenizer.encode_batch(texts)] != model.encode(texts):
        raise UserError("tokenizer.type", path=path)
    tokenizer.add_special_tokens(controls)
    return tokenizer


def _read_sentencepiece_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    """A tokenizer in Llama's original format, `tokenizer.model`, with the settings in the folder."""
    tokenizer = _sentencepiece_tokenizer(folder / "tokenizer.model")
    settings = _read_settings(folder)
    usual = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    defaults: dict[str, Any] = {
        name: token for name, token in usual.items() if tokenizer.token_to_id(token) is not None
    }
    defaults["add_bos_token"] = "bos_token" in defaults
    with tempfile.TemporaryDirectory() as temporary:
        for name in SETTINGS_FILES:
            if (folder / name).is_file():
                shutil.copy(folder / name, temporary)
        tokenizer.save(str(Path(temporary, "tokenizer.json")))
        return PreTrainedTokenizerFast.from_pretrained(
            temporary, **{name: value for name, value in defaults.items() if name not in settings}
        )


def _read_vocabulary_and_merges(folder: Path) -> PreTrainedTokenizerFast:
    """A tokenizer in GPT-2's original format, `vocab.json` and `merges.txt`."""
    name = _read_settings(folder).get("tokenizer_class")
    if name not in CLASSES_WITH_MERGES:
        raise UserError("tokenizer.class", folder=folder, name=name)
    _check_vocabulary_and_merges(folder / "vocab.json", folder / "merges.txt")
    return CLASSES_WITH_MERGES[name].from_pretrained(folder)


def _check_vocabulary_and_merges(vocabulary: Path, merges: Path) -> None:
    """Raises a `UserError` if one of them is damaged: Transformers' own errors don't name the file."""
    ids = read_json(vocabulary)
    try:
        models.BPE(vocab=ids, merges=[])
    except (TypeError, OverflowError) as error:
        raise damaged(vocabulary) from error
    try:
        models.BPE.from_file(str(vocabulary), str(merges))
    except Exception as error:  # as for tokenizer.json
        raise damaged(merges) from error


def _own_settings(folder: Path) -> dict[str, Any]:
    """The settings in a checkpoint's `tokenizer_config.json` that do not depend on the tokenizer's class."""
    settings = _read_settings(folder)
    return {name: settings[name] for name in ("chat_template", "model_max_length") if name in settings}


def _read_settings(folder: Path) -> dict[str, Any]:
    """A checkpoint's tokenizer settings; empty if it has no such files."""
    paths = [folder / "special_tokens_map.json", folder / "tokenizer_config.json"]
    return {name: value for path in paths if path.is_file() for name, value in read_json(path).items()}


def _missing(path: Path) -> UserError:
    return UserError("tokenizer.file_missing", path=path)
