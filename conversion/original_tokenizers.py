"""A checkpoint's tokenizer files, in whatever format they are → an ordinary fast tokenizer.

Nothing of a checkpoint is executed: formats that its own Python file would read are read here.
"""

import base64
import json
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from config import UserError

import openvino as ov
from openvino_tokenizers import convert_tokenizer
from openvino_tokenizers.tokenizer_pipeline import RegexNormalizationStep
from sentencepiece import SentencePieceProcessor
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import GPT2Tokenizer, PreTrainedTokenizerFast, Qwen2Tokenizer
from transformers.convert_slow_tokenizer import bytes_to_unicode

# What the settings of a tokenizer can be in, beside its vocabulary.
SETTINGS_FILES = (
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "chat_template.json",
)

# What reads a vocab.json with a merges.txt.
CLASSES_WITH_MERGES = {"GPT2Tokenizer": GPT2Tokenizer, "Qwen2Tokenizer": Qwen2Tokenizer}

QWEN_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)

# Their ids follow the ranks'.
QWEN_SPECIAL_TOKENS = (
    *("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<R>", "<S>", "<X>", "<mask>", "<sep>"),
    *(f"<extra_{number}>" for number in range(200)),
)

# Their ids follow the SentencePiece model's.
CHATGLM3_SPECIAL_TOKENS = (
    *("[MASK]", "[gMASK]", "[sMASK]", "sop", "eop"),
    *("<|system|>", "<|user|>", "<|assistant|>", "<|observation|>"),
)

RESPELLED = "\ue000{}\ue001"


def read_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    """The tokenizer of a checkpoint, saved by `save_pretrained` as one that needs no code of the checkpoint's.

    A `tokenizer.json` is taken as it stands. `AutoTokenizer` is not asked to read it, because Transformers 5.5.4
    builds some classes' tokenizers anew from the vocabulary alone, which for a class that was named wrongly (as
    the distilled Llama of DeepSeek does) is another tokenizer.

    Args:
        folder: the checkpoint, with its `config.json`.

    Raises:
        UserError: the files are missing, damaged, or of a format that is not known here.
    """
    model_type = _read_json(folder / "config.json").get("model_type")
    if model_type in ORIGINAL_FORMATS:
        name, read = ORIGINAL_FORMATS[model_type]
        if (folder / name).is_file() or not (folder / "tokenizer.json").is_file():
            return read(folder)
    if (folder / "tokenizer.json").is_file():
        if "model" not in _read_json(folder / "tokenizer.json"):
            raise _damaged(folder / "tokenizer.json")
        tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    elif (folder / "tokenizer.model").is_file():
        tokenizer = _read_sentencepiece_tokenizer(folder)
    elif (folder / "vocab.json").is_file() and (folder / "merges.txt").is_file():
        tokenizer = _read_vocabulary_and_merges(folder)
    else:
        raise UserError(
            f"{folder} has no tokenizer.json, tokenizer.model, or vocab.json with merges.txt; "
            f"download the model's tokenizer files as well."
        )
    tokenizer.init_kwargs.pop("auto_map", None)
    return tokenizer


def read_qwen_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    """Qwen v1's tokenizer from `qwen.tiktoken`: byte-level BPE whose merges are implied by the tokens' ranks.

    The end-of-text token is the one that training put between documents; that an answer ends at `<|im_end|>` belongs
    to the chat format.

    Raises:
        UserError: the file is missing or damaged.
    """
    path = folder / "qwen.tiktoken"
    ranks = _read_ranks(path)
    try:
        merges = _merges_of(ranks)
    except ValueError as error:
        raise _damaged(path) from error
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

    Its own tokens follow the SentencePiece model's. `sop` and `eop`, of which "philosophy" and "people" have one each,
    are found where no letter adjoins: a chat template writes `[gMASK]sop`.

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


def byte_level_bpe(
    ids: dict[str, int],
    merges: Sequence[tuple[str, str]],
    patterns: Sequence[str],
    compose: bool,
    whole_first: bool = False,
) -> Tokenizer:
    """BPE over the bytes of a text, each spelled as a character, as in GPT-2.

    Args:
        ids: of the tokens.
        merges: in the order in which they are tried.
        patterns: each isolates its matches in what the ones before it have left; merges stay within such a piece.
        compose: whether text is brought into Unicode's form NFC first.
        whole_first: whether a piece that is a token is taken as it is, whatever the merges would make of it.
    """
    tokenizer = Tokenizer(models.BPE(vocab=ids, merges=list(merges), ignore_merges=whole_first))
    if compose:
        tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            *(pre_tokenizers.Split(Regex(pattern), behavior="isolated") for pattern in patterns),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def scored_bpe(
    pieces: Sequence[str], scores: Sequence[float], mergeable: Iterable[int], unknown: str | None, dummy_prefix: bool
) -> Tokenizer:
    """SentencePiece's BPE, which merges the two neighbours that make the piece with the highest score.

    Args:
        pieces: the vocabulary in the order of ids, with ▁ for a space and <0x00>…<0xFF> for the bytes of what it lacks.
        scores: one for each piece.
        mergeable: ids of the pieces that text can become; not bytes and control tokens.
        unknown: the piece for what not even bytes can spell.
        dummy_prefix: whether every text is read as if a space stood before it.
    """
    ids = {piece: id for id, piece in enumerate(pieces)}
    merged = dict.fromkeys(pieces[id] for id in mergeable)
    merges = [
        (piece[:cut], piece[cut:])
        for piece in merged
        for cut in range(1, len(piece))
        if piece[:cut] in merged and piece[cut:] in merged
    ]
    # Of merges with the same score, as runs of spaces have in Llama's and Mistral's models, SentencePiece does the
    # leftmost first. In a run that has been merged from the left, this is the one with the longer first half.
    merges.sort(key=lambda halves: (-scores[ids["".join(halves)]], -len(halves[0])))
    tokenizer = Tokenizer(models.BPE(vocab=ids, merges=merges, unk_token=unknown, fuse_unk=True, byte_fallback=True))
    spaces: list[Any] = [normalizers.Replace(" ", "▁")]
    text: list[Any] = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    if dummy_prefix:
        spaces.insert(0, normalizers.Prepend("▁"))
        text.append(decoders.Strip(" ", 1, 0))
    tokenizer.normalizer = normalizers.Sequence(spaces)
    tokenizer.decoder = decoders.Sequence(text)
    return tokenizer


def save_as_openvino(tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Writes a tokenizer and its detokenizer as OpenVINO models.

    OpenVINO Tokenizers 2026.4.1 overlooks that an added token is to be found as a single word only, and would find
    "eop" in "people". It gets a tokenizer that has other spellings for such tokens, and a step before all others that
    respells the single words.
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
    """A copy of a tokenizer in which some of its added tokens are spelled as nobody types them."""
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save_pretrained(folder)
        for path in Path(folder).glob("tokenizer*.json"):
            text = path.read_text(encoding="utf-8")
            for token in tokens:
                text = text.replace(json.dumps(token), json.dumps(RESPELLED.format(token)))
            path.write_text(text, encoding="utf-8")
        return PreTrainedTokenizerFast.from_pretrained(folder)


def _read_ranks(path: Path) -> dict[bytes, int]:
    """A tiktoken vocabulary: on each line a token in Base64 and its rank, which is its id."""
    try:
        lines = [line.split() for line in path.read_bytes().splitlines()]
        ranks = {base64.b64decode(token, validate=True): int(rank) for token, rank in lines}
    except FileNotFoundError as error:
        raise _missing(path) from error
    except ValueError as error:
        raise _damaged(path) from error
    if len(ranks) < 256 or sorted(ranks.values()) != list(range(len(ranks))):
        raise _damaged(path)
    return ranks


def _merges_of(ranks: dict[bytes, int]) -> list[tuple[bytes, bytes]]:
    """The merges that byte-level BPE learned, in its order: of each token, the two that it was made of.

    These are what merging the token's own bytes leaves, when the token itself is not known yet.

    Raises:
        ValueError: the ranks are not those of such a vocabulary.
    """

    def halves(token: bytes) -> list[bytes]:
        parts = [token[index : index + 1] for index in range(len(token))]
        while len(parts) > 2:
            pairs = [ranks.get(left + right, ranks[token]) for left, right in pairwise(parts)]
            first = min(range(len(pairs)), key=pairs.__getitem__)
            if pairs[first] >= ranks[token]:
                raise ValueError(f"no merges lead to {token!r}")
            parts[first : first + 2] = [parts[first] + parts[first + 1]]
        return parts

    return [
        (left, right)
        for left, right in (halves(token) for token in sorted(ranks, key=ranks.__getitem__) if len(token) > 1)
    ]


def _sentencepiece_tokenizer(path: Path) -> Tokenizer:
    """The tokenizer of a SentencePiece BPE model, compared with SentencePiece itself on its whole vocabulary."""
    if not path.is_file():
        raise _missing(path)
    try:
        model = SentencePieceProcessor(model_file=str(path))
    except (RuntimeError, OSError) as error:
        raise _damaged(path) from error
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
    # Another kind of model, or one that rewrites characters or spaces, would differ here.
    texts = ["  a  b  ", "ﬁ Ａ ½ e\u0301", "\U0001f9ff\n", *(pieces[id].replace("▁", " ") for id in mergeable)]
    if [encoding.ids for encoding in tokenizer.encode_batch(texts)] != model.encode(texts):
        raise UserError(f"{path} is of a kind that can't be read; bring the model's tokenizer.json into its folder.")
    tokenizer.add_special_tokens(controls)
    return tokenizer


def _read_sentencepiece_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    """A tokenizer in Llama's original format, with the settings that lie beside it."""
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
        raise UserError(
            f"{folder} has a tokenizer of the class {name}, which can't be read; "
            f"bring the model's tokenizer.json into its folder."
        )
    _read_json(folder / "vocab.json")
    return CLASSES_WITH_MERGES[name].from_pretrained(folder)


def _own_settings(folder: Path) -> dict[str, Any]:
    """What of a checkpoint's `tokenizer_config.json` holds for every tokenizer."""
    settings = _read_settings(folder)
    return {name: settings[name] for name in ("chat_template", "model_max_length") if name in settings}


def _read_settings(folder: Path) -> dict[str, Any]:
    """What a checkpoint says of its tokenizer beside the vocabulary; nothing where it has no such files."""
    paths = [folder / "special_tokens_map.json", folder / "tokenizer_config.json"]
    return {name: value for path in paths if path.is_file() for name, value in _read_json(path).items()}


def _read_json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise _missing(path) from error
    except ValueError as error:
        raise _damaged(path) from error
    if not isinstance(found, dict):
        raise _damaged(path)
    return found


def _missing(path: Path) -> UserError:
    return UserError(f"{path} is missing; download the model's tokenizer files as well.")


def _damaged(path: Path) -> UserError:
    return UserError(f"{path} is damaged; remove it and download it again.")
