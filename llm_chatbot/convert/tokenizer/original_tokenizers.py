"""A checkpoint's tokenizer files, in their original format → a fast tokenizer.

No code of a checkpoint is run: formats that its own Python file would read are read here.
"""

import base64
import shutil
import tempfile
from itertools import pairwise
from pathlib import Path
from typing import Any

from sentencepiece import SentencePieceProcessor
from tokenizers import AddedToken, Tokenizer, models, processors
from transformers import GPT2Tokenizer, PreTrainedTokenizerFast, Qwen2Tokenizer
from transformers.convert_slow_tokenizer import bytes_to_unicode

from llm_chatbot.catalogue.architectures import architecture, imported
from llm_chatbot.errors import UserError
from llm_chatbot.folder.chat_templates import TEMPLATE_FILE, read_templates
from llm_chatbot.gguf.bpe import QWEN_SPLIT, byte_level_bpe, scored_bpe
from llm_chatbot.sources.json_files import damaged_checkpoint, read_checkpoint_json

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
    model_type = read_checkpoint_json(folder / "config.json").get("model_type")
    _check_settings(folder)
    try:
        return _read(folder, model_type)
    except UserError:
        raise
    except (ImportError, LookupError, TypeError, ValueError, AttributeError, OSError) as error:  # Transformers' own
        raise damaged_checkpoint(folder / "tokenizer_config.json") from error


def _read(folder: Path, model_type: Any) -> PreTrainedTokenizerFast:
    row = architecture(model_type)
    has_original = bool(row.tokenizer_file) and (folder / str(row.tokenizer_file)).is_file()
    if row.read_tokenizer and (has_original or not (folder / "tokenizer.json").is_file()):
        return imported(row.read_tokenizer)(folder)
    if (folder / "tokenizer.json").is_file():
        _check_tokenizer(folder / "tokenizer.json")
        tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
        tokenizer.chat_template = read_templates(folder, _read_settings(folder))
    elif (folder / "tokenizer.model").is_file():
        tokenizer = _read_sentencepiece_tokenizer(folder)
    elif (folder / "vocab.json").is_file() and (folder / "merges.txt").is_file():
        tokenizer = _read_vocabulary_and_merges(folder)
    else:
        raise UserError("tokenizer.missing", folder=folder)
    tokenizer.init_kwargs.pop("auto_map", None)
    tokenizer.backend_tokenizer.no_truncation()  # a training's, which the saved tokenizers would have too
    tokenizer.backend_tokenizer.no_padding()
    return tokenizer


def _check_settings(folder: Path) -> None:
    """Raises a `UserError` if one of a tokenizer's small files is damaged, before a library reads it."""
    for name in SETTINGS_FILES:
        if name.endswith(".json") and (folder / name).is_file():
            read_checkpoint_json(folder / name)
    try:
        templates = read_templates(folder, _read_settings(folder))
    except ValueError as error:
        raise damaged_checkpoint(folder / TEMPLATE_FILE) from error
    except (LookupError, TypeError) as error:
        raise damaged_checkpoint(folder / "tokenizer_config.json") from error
    if isinstance(templates, str) and not templates.strip() and (folder / TEMPLATE_FILE).is_file():
        raise damaged_checkpoint(folder / TEMPLATE_FILE)


def _check_tokenizer(path: Path) -> None:
    """Raises a `UserError` if this is no `tokenizer.json`, or one without a vocabulary."""
    content = path.read_bytes()
    try:
        tokenizer = Tokenizer.from_buffer(content)
    except Exception as error:  # tokenizers has no class for it: what it can't read is a bare `Exception`
        raise damaged_checkpoint(path) from error
    if not tokenizer.get_vocab_size(with_added_tokens=False):
        raise damaged_checkpoint(path)


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
        raise damaged_checkpoint(path) from error
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


def _read_ranks(path: Path) -> dict[bytes, int]:
    """Reads a tiktoken vocabulary. Each line has a token in Base64 and its rank, which is its id."""
    try:
        lines = [line.split() for line in path.read_bytes().splitlines()]
        ranks = {base64.b64decode(token, validate=True): int(rank) for token, rank in lines}
    except FileNotFoundError as error:
        raise _missing(path) from error
    except ValueError as error:
        raise damaged_checkpoint(path) from error
    if len(ranks) < 256 or sorted(ranks.values()) != list(range(len(ranks))):
        raise damaged_checkpoint(path)
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
        raise damaged_checkpoint(path) from error
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
        read = PreTrainedTokenizerFast.from_pretrained(
            temporary, **{name: value for name, value in defaults.items() if name not in settings}
        )
    read.chat_template = read_templates(folder, settings)
    return read


def _read_vocabulary_and_merges(folder: Path) -> PreTrainedTokenizerFast:
    """A tokenizer in GPT-2's original format, `vocab.json` and `merges.txt`."""
    name = _read_settings(folder).get("tokenizer_class")
    if name not in CLASSES_WITH_MERGES:
        raise UserError("tokenizer.class", folder=folder, name=name)
    _check_vocabulary_and_merges(folder / "vocab.json", folder / "merges.txt")
    return CLASSES_WITH_MERGES[name].from_pretrained(folder)


def _check_vocabulary_and_merges(vocabulary: Path, merges: Path) -> None:
    """Raises a `UserError` if one of them is damaged: Transformers' own errors don't name the file."""
    ids = read_checkpoint_json(vocabulary)
    try:
        models.BPE(vocab=ids, merges=[])
    except (TypeError, OverflowError) as error:
        raise damaged_checkpoint(vocabulary) from error
    try:
        models.BPE.from_file(str(vocabulary), str(merges))
    except Exception as error:  # as for tokenizer.json
        raise damaged_checkpoint(merges) from error


def _own_settings(folder: Path) -> dict[str, Any]:
    """The settings in a checkpoint's `tokenizer_config.json` that do not depend on the tokenizer's class."""
    settings = _read_settings(folder)
    template = read_templates(folder, settings)
    length = {"model_max_length": settings["model_max_length"]} if "model_max_length" in settings else {}
    return {**length, **({"chat_template": template} if template else {})}


def _read_settings(folder: Path) -> dict[str, Any]:
    """A checkpoint's tokenizer settings; empty if it has no such files."""
    paths = [folder / "special_tokens_map.json", folder / "tokenizer_config.json"]
    return {name: value for path in paths if path.is_file() for name, value in read_checkpoint_json(path).items()}


def _missing(path: Path) -> UserError:
    return UserError("tokenizer.file_missing", path=path)
