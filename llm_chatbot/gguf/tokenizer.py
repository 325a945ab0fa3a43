"""The tokenizer in a GGUF file, with what the file says about its use."""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gguf import TokenType
from tokenizers import AddedToken, Tokenizer, decoders, processors

from llm_chatbot.errors import UserError
from llm_chatbot.folder.chat_templates import DEFAULT, TOOL_USE, Templates, only_one
from llm_chatbot.gguf.bpe import byte_level_bpe, scored_bpe
from llm_chatbot.gguf.header import Fields, read_gguf_header
from llm_chatbot.gguf.splittings import SPLITTINGS, Splitting

# Tokens that end an answer for llama.cpp whatever the file says: many files name only one token as EOS.
END_TOKENS = frozenset(
    [
        *("<|eot_id|>", "<|im_end|>", "<|end|>", "<|return|>", "<|call|>", "<|flush|>", "<|calls|>", "<end_of_turn>"),
        *("<|endoftext|>", "</s>", "<|eom_id|>", "<EOT>", "_<EOT>", "[EOT]", "[EOS]", "<|end_of_text|>"),
        *("<end_of_utterance>", "<eos>", "<turn|>", "<|tool_response>", "<｜end▁of▁sentence｜>", "[e~["),
    ]
)


# Ends the name of a token that a file has twice, as official files of Gemma 4 do; a code point that no text has.
REPEATED = "\U0010ffff"

# The key of the chat template; further ones have their name behind it, as in "tokenizer.chat_template.tool_use".
TEMPLATE = "tokenizer.chat_template"

_COMMENT, _BOS_FIRST = re.compile(r"\{#.*?#\}", re.DOTALL), re.compile(r"\s*\{\{-?\s*bos_token\b")

# A template within another that writes BOS where the inner one does not. Jinja takes the line break after `%}`, and it
# would take spaces before a tag that begins a line. OpenVINO GenAI's engine does not know Jinja's `{%+`.
WITH_BOS = (
    "{% set prompt_without_bos %}\n"
    "TEMPLATE{{ '' }}{% endset %}"
    "{{ '' if prompt_without_bos.lstrip().startswith(bos_token) else bos_token }}{{ prompt_without_bos }}"
)


@dataclass(frozen=True)
class Vocabulary:
    """The vocabulary of a GGUF file.

    Attributes:
        tokens: the tokens, in the order of their ids, all different; see `REPEATED`.
        types: the type of each token, a value of `gguf.TokenType`.
        named: the ids of "bos", "eos", "eot", "eom", "unknown" and "padding", as far as the file names them.
    """

    tokens: list[str]
    types: list[int]
    named: dict[str, int]

    def ids_of(self, type: TokenType) -> list[int]:
        return [id for id, found in enumerate(self.types) if found == type]


@dataclass(frozen=True)
class GGUFTokenizer:
    """The tokenizer of a GGUF file.

    Attributes:
        backend: converts between text and ids. It knows the special tokens, and begins texts with BOS where the file
            says so.
        named: special tokens by Transformers' names, such as "bos_token".
        further: the other special tokens.
        add_bos: whether texts begin with BOS.
        chat_template: a Jinja template, or several by their names; None if the file has none.
        stop_ids: ids of the tokens that end an answer.
        context_length: the longest text in tokens; None if the file doesn't say it.
    """

    backend: Tokenizer
    named: dict[str, AddedToken]
    further: list[AddedToken]
    add_bos: bool
    chat_template: Templates
    stop_ids: set[int]
    context_length: int | None


def read_gguf_tokenizer(path: Path) -> GGUFTokenizer:
    """The tokenizer of a GGUF file, built from the file's own tokens with their merges or scores.

    The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md#tokenizer

    Raises:
        UserError: the file is damaged, or its type of tokenizer is not supported.
    """
    return tokenizer_of(read_gguf_header(path).fields)


def tokenizer_of(fields: Fields) -> GGUFTokenizer:
    """As `read_gguf_tokenizer`, of a file whose header was read before."""
    kind, pre = fields.text("tokenizer.ggml.model"), fields.text("tokenizer.ggml.pre") or "default"
    vocabulary = read_vocabulary(fields)
    if kind == "llama":
        tokenizer, add_bos = _scored_tokenizer(fields, vocabulary), True
    elif kind == "gpt2" and pre in SPLITTINGS:
        tokenizer, add_bos = _byte_level_tokenizer(fields, vocabulary, SPLITTINGS[pre]), SPLITTINGS[pre].add_bos
    else:
        raise UserError("gguf.tokenizer_type", name=fields.path.name, type=kind, pre=pre, known=", ".join(SPLITTINGS))
    return _with_settings(tokenizer, fields, vocabulary, add_bos)


def read_vocabulary(fields: Fields) -> Vocabulary:
    """
    Raises:
        UserError: the file has no tokens, or lacks types for some.
    """
    tokens = fields.texts("tokenizer.ggml.tokens")
    if not tokens:
        raise UserError("gguf.no_tokenizer", path=fields.path)
    tokens = [token or f"[EMPTY_{id}]" for id, token in enumerate(tokens)]  # the same names as in llama.cpp
    tokens = _told_apart(tokens)
    types = _for_each(tokens, "token_type", fields) or [TokenType.NORMAL] * len(tokens)
    named = {
        name: id
        for name in ("bos", "eos", "eot", "eom", "unknown", "padding")
        if (id := fields.integer(f"tokenizer.ggml.{name}_token_id")) is not None and 0 <= id < len(tokens)
    }
    return Vocabulary(tokens, types, named)


def _told_apart(tokens: list[str]) -> list[str]:
    """The tokens, where those that occur again have one more `REPEATED` at the end: text becomes the first of them."""
    if len(set(tokens)) == len(tokens):
        return tokens
    counts: Counter[str] = Counter()
    apart = []
    for token in tokens:
        apart.append(token + REPEATED * counts[token])
        counts[token] += 1
    return apart


def stop_token_ids(vocabulary: Vocabulary) -> set[int]:
    """Ids of the tokens that end an answer, by llama.cpp's rules: those that the file names, and `END_TOKENS`."""
    known = {token: id for id, token in enumerate(vocabulary.tokens) if token in END_TOKENS}
    # In formats with these tokens, an answer continues after <|end|>.
    if known.keys() & {"<|call|>", "<|calls|>"} and known.keys() & {"<|return|>", "<|flush|>"}:
        known.pop("<|end|>", None)
    if "<|tool_response>" in known:
        known.pop("</s>", None)
    return {*known.values(), *(id for name, id in vocabulary.named.items() if name in ("eos", "eot", "eom"))}


def _for_each(tokens: Sequence[str], name: str, fields: Fields) -> list[Any] | None:
    """One number for each token; None if the file has none."""
    found = fields.numbers(f"tokenizer.ggml.{name}")
    if found is not None and len(found) < len(tokens):
        raise fields.damaged("gguf.fewer_values", name=name)
    return found


def _byte_level_tokenizer(fields: Fields, vocabulary: Vocabulary, splitting: Splitting) -> Tokenizer:
    ids = {token: id for id, token in enumerate(vocabulary.tokens)}
    # The two halves are separated by a space, but the first may itself begin with one.
    cuts = [(merge, merge.find(" ", 1)) for merge in fields.texts("tokenizer.ggml.merges") or []]
    merges = [(merge[:cut], merge[cut + 1 :]) for merge, cut in cuts]
    if any(left not in ids or right not in ids or left + right not in ids for left, right in merges):
        raise fields.damaged("gguf.unknown_merges")
    return byte_level_bpe(
        ids=ids,
        merges=merges,
        patterns=splitting.patterns,
        compose=splitting.compose,
        whole_first=splitting.whole_first,
    )


def _scored_tokenizer(fields: Fields, vocabulary: Vocabulary) -> Tokenizer:
    scores = _for_each(vocabulary.tokens, "scores", fields)
    if scores is None or any(score != score for score in scores):
        raise fields.damaged("gguf.no_scores")
    unknown = vocabulary.named.get("unknown")
    return scored_bpe(
        vocabulary.tokens,
        scores=scores,
        mergeable=vocabulary.ids_of(TokenType.NORMAL),
        unknown=None if unknown is None else vocabulary.tokens[unknown],
        dummy_prefix=fields.flag("tokenizer.ggml.add_space_prefix") is not False,
    )


def _with_settings(tokenizer: Tokenizer, fields: Fields, vocabulary: Vocabulary, add_bos: bool) -> GGUFTokenizer:
    """Adds a GGUF file's settings to its tokenizer: special tokens, BOS, chat template and maximum length.

    Args:
        add_bos: whether texts begin with the BOS token if the file does not specify it.
    """
    tokens, stop_ids = vocabulary.tokens, stop_token_ids(vocabulary)
    control = {*vocabulary.ids_of(TokenType.CONTROL), *stop_ids}
    shown = [id for id in vocabulary.ids_of(TokenType.USER_DEFINED) if id not in control]
    strip = _stripping(fields)
    keys = {"bos": "bos", "eos": "eos", "unk": "unknown", "pad": "padding"}
    ids = {f"{name}_token": vocabulary.named[key] for name, key in keys.items() if key in vocabulary.named}
    named = {name: strip(tokens[id]) for name, id in ids.items()}
    further = [strip(tokens[id]) for id in sorted(control - set(ids.values()))]
    tokenizer.add_tokens([AddedToken(tokens[id], normalized=False, special=False) for id in shown])
    tokenizer.add_special_tokens([*named.values(), *further])
    said = fields.flag("tokenizer.ggml.add_bos_token")
    bos = tokens[ids["bos_token"]] if "bos_token" in ids else None
    begins = bos is not None and bool(add_bos if said is None else said)
    if bos is not None and begins:
        tokenizer.post_processor = processors.TemplateProcessing(
            single=[bos, "$A"], pair=[bos, "$A", bos, "$B:1"], special_tokens=[(bos, ids["bos_token"])]
        )
    if any(token.endswith(REPEATED) for token in tokens):
        tokenizer.decoder = decoders.Sequence([decoders.Replace(REPEATED, ""), tokenizer.decoder])
    template = _chat_templates(fields, bos if begins else None)
    context = fields.integer(f"{fields.text('general.architecture')}.context_length") or None
    return GGUFTokenizer(tokenizer, named, further, begins, template, stop_ids, context)


def _chat_templates(fields: Fields, bos: str | None) -> Templates:
    """The file's templates, for conversations with and without tools.

    Args:
        bos: the token that begins each text; None: texts begin as the template says. Some templates leave it to the
            program, as llama.cpp writes it, so it is added where they don't write it.
    """
    keys = {DEFAULT: TEMPLATE, TOOL_USE: f"{TEMPLATE}.{TOOL_USE}"}
    templates = {name: text for name, key in keys.items() if (text := fields.text(key))}
    return only_one({name: _with_bos(text, bos) for name, text in templates.items()} if bos else templates)


def _with_bos(template: str, bos: str) -> str:
    """A template whose prompts begin with BOS, also where it writes BOS in some conversations only."""
    code = _COMMENT.sub("", template)
    if bos not in code and "bos_token" not in code:
        return "{{ bos_token }}" + template
    if code.lstrip().startswith(bos) or _BOS_FIRST.match(code):
        return template
    return WITH_BOS.replace("TEMPLATE", template.removesuffix("\n"))


def _stripping(fields: Fields) -> Callable[[str], AddedToken]:
    """A function that makes special tokens. Phi-3's strip the white space after them, which its files don't specify."""
    name = (fields.text("general.name") or "").lower()
    strips = "phi-3" in name or "phi3" in name
    kept = ("<unk>", "<s>", "<|endoftext|>")
    return lambda token: AddedToken(token, rstrip=strips and token not in kept, normalized=False, special=True)
