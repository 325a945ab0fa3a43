"""Small vocabularies in the formats that checkpoints have, and texts to try them on."""

import base64
import json
import random
import re
from collections.abc import Sequence
from pathlib import Path

import gguf
from sentencepiece import SentencePieceTrainer
from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers
from transformers.convert_slow_tokenizer import bytes_to_unicode

TEXTS = [
    "Hello, world!",
    " leading and trailing ",
    "people read philosophy",
    "It's we're I'll you'd they've I'm DON'T IT'S",
    "1234567 89 3.14159 -2,718 1e-9 0x7F ½ ² ٣ 五 Ⅷ",
    "今天天气怎么样？我想去公园散步。",
    "こんにちは、世界！カタカナ",
    "안녕하세요 세계",
    "Привет, как дела? Ёлка Γειά σου",
    "שלום עולם مرحبا بالعالم ١٢٣",
    "नमस्ते दुनिया สวัสดีชาวโลก",
    "🎉👩‍👩‍👧‍👦🇫🇷👍🏽\U0001d54f",
    "e\u0301 vs é, Å vs Å, ﬁ Ａ１",
    "it’s “quoted” — dashes… and • bullets",
    "def f(x):\n    return x ** 2  # comment\n\n\tprint(f'{x!r}')\r\n",
    '<div class="a">&amp;</div> $a+b=c$ ~x|y^z',
    "    four\n        eight\n\t\ttabs\n\n\n\nend   ",
    "\u00a0\u2003\u3000 spaces \u200b\u200d\ufeff",
    "=====-----_____***** aaaaaaaaaaaaaaaaaaaaaa",
    "</s> <s> <unk> <|im_end|> <|user|> [gMASK]",
    "<0x41>",
    "x".join(" " * length for length in range(12, 34)),
    "\n",
    " ",
    "",
]


def many_texts(count: int, seed: int = 0) -> list[str]:
    """Texts of words, white space and characters of many scripts in a random order."""
    rng = random.Random(seed)
    ranges = [(32, 126), (160, 591), (0x370, 0x52F), (0x5D0, 0x6FF), (0x900, 0xDFF), (0x2000, 0x27BF), (0x3040, 0x30FF)]
    ranges += [(0x4E00, 0x9FFF), (0xAC00, 0xD7A3), (0x1F300, 0x1FAFF), (9, 13), (0x301, 0x301), (48, 57)]
    words = [word for text in TEXTS for word in text.split()]

    def part() -> str:
        return rng.choice(
            [
                rng.choice(words),
                chr(rng.randint(*rng.choice(ranges))),
                " " * rng.randint(1, 9),
                "\n" * rng.randint(1, 3),
            ]
        )

    return ["".join(part() for _ in range(rng.randint(1, 25))) for _ in range(count)]


def dense_texts(count: int, seed: int = 1) -> list[str]:
    """Texts in which what splittings tell apart meets: cases, digits, punctuation, marks, white space, contractions."""
    rng = random.Random(seed)
    parts = [*"aAbBaAbBaAbBzéÉßΩ五あ가١½12 (.,/!~$`'-", *" \n\r\t\u00a0\u0301\u0940", "\r\n", "'s", "'LL", "'Re", "'ſ"]
    return ["".join(rng.choices(parts, k=rng.randint(2, 16))) for _ in range(count)]


def learn_merges(size: int, split: str | None = None) -> list[tuple[str, str]]:
    """The merges of byte-level BPE trained on the texts; without `split`, across words too."""
    tokenizer = Tokenizer(models.BPE())
    splits = [pre_tokenizers.Split(Regex(split), behavior="isolated")] if split else []
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [*splits, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=size, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(TEXTS * 5 + many_texts(300) + dense_texts(1500), trainer)
    return [tuple(merge) for merge in json.loads(tokenizer.to_str())["model"]["merges"]]


def byte_level_tokens(merges: list[tuple[str, str]]) -> list[str]:
    """A byte-level vocabulary in the order of ids: the bytes, then what each merge makes."""
    return [*sorted(pre_tokenizers.ByteLevel.alphabet()), *dict.fromkeys(left + right for left, right in merges)]


def write_tiktoken(path: Path, split: str, size: int = 500) -> None:
    byte_of = {character: byte for byte, character in bytes_to_unicode().items()}
    tokens = [
        bytes(byte_of[character] for character in token) for token in byte_level_tokens(learn_merges(size, split))
    ]
    lines = [f"{base64.b64encode(token).decode()} {rank}\n" for rank, token in enumerate(tokens)]
    path.write_text("".join(lines), encoding="ascii")


def write_sentencepiece(path: Path, **options) -> None:
    """Trains a model as those of Llama and ChatGLM3 are: BPE with bytes for what it lacks, text left as it is."""
    settings = {
        "model_type": "bpe",
        "vocab_size": 700,
        "byte_fallback": True,
        "character_coverage": 0.98,
        "normalization_rule_name": "identity",
        "remove_extra_whitespaces": False,
        "allow_whitespace_only_pieces": True,
    }
    corpus = [text.replace("\n", " ") for text in TEXTS * 5 if "people" not in text] + [" " * 16, "=" * 16]
    with path.open("wb") as file:
        SentencePieceTrainer.train(
            sentence_iterator=iter(corpus), model_writer=file, minloglevel=2, num_threads=1, **{**settings, **options}
        )


def write_gguf(path: Path, kind: str, pre: str, tokens: list[str], types: Sequence[int], **fields) -> None:
    """A GGUF file with a tokenizer and no tensors; `fields` go to the writer's `add_…` methods."""
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(2048)
    writer.add_tokenizer_model(kind)
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    for name, value in fields.items():
        getattr(writer, f"add_{name}")(value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()


def write_byte_level_gguf(path: Path, pre: str, merges: list[tuple[str, str]]) -> None:
    """With a word that no merges lead to, two control tokens, and one that the user defined."""
    tokens = [*byte_level_tokens(merges), "Ġphilosophy"]
    write_gguf(
        path,
        "gpt2",
        pre,
        [*tokens, "<|begin|>", "<|end|>", "<think>"],
        [gguf.TokenType.NORMAL] * len(tokens)
        + [gguf.TokenType.CONTROL, gguf.TokenType.CONTROL, gguf.TokenType.USER_DEFINED],
        token_merges=[" ".join(merge) for merge in merges],
        bos_token_id=len(tokens),
        eos_token_id=len(tokens) + 1,
    )


def write_scored_gguf(path: Path, pieces: list[str], **fields) -> None:
    """With `pieces` as a SentencePiece model has them: <unk>, <s>, </s>, the bytes, then by descending score.

    Runs of spaces share the lowest score, as in Llama's and Mistral's models. Pieces of line breaks are the user's, as
    in Gemma's.
    """
    types = [gguf.TokenType.UNKNOWN, gguf.TokenType.CONTROL, gguf.TokenType.CONTROL, *[gguf.TokenType.BYTE] * 256]
    types += [gguf.TokenType.NORMAL if piece.strip("\n") else gguf.TokenType.USER_DEFINED for piece in pieces[259:]]
    types = [
        gguf.TokenType.CONTROL if re.fullmatch(r"<\|\w+\|>", piece) else type
        for piece, type in zip(pieces, types, strict=True)
    ]
    write_gguf(
        path,
        "llama",
        "default",
        pieces,
        types,
        token_scores=[-1e9 if set(piece) == {"▁"} else -float(rank) for rank, piece in enumerate(pieces)],
        unk_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        **fields,
    )


def write_gemma_gguf(path: Path, pieces: list[str]) -> None:
    """As Gemma's: no space before a text, and line breaks as tokens of the user's."""
    write_scored_gguf(path, [*pieces, *("\n" * length for length in range(1, 5))], add_space_prefix=False)


def write_phi3_gguf(path: Path, pieces: list[str]) -> None:
    """As Phi-3's, whose control tokens take the white space behind them."""
    write_scored_gguf(path, [*pieces, "<|endoftext|>", "<|assistant|>", "<|end|>"], name="Phi 3 Mini or Phi-3-mini")


# Texts with control tokens, as chat templates write them.
MARKED_TEXTS = [
    "<|begin|>Hello<|end|>\n <|begin|> you",
    "<s> Hello</s>\n\nyou </s> <s><unk> it",
    "<|end|>\nHello <|end|><|assistant|>\n\n  Hi\n<|endoftext|>\n x </s>  y",
]


# Tokens beyond a vocabulary of bytes, and which of them the file names.
ENDINGS: list[tuple[list[str], dict[str, int]]] = [
    (["<|endoftext|>", "<|im_start|>", "<|im_end|>"], {"eos_token_id": 256}),
    (["<|begin_of_text|>", "<|end_of_text|>", "<|eom_id|>", "<|eot_id|>"], {"eos_token_id": 259, "eot_token_id": 258}),
    (["<bos>", "<start_of_turn>", "<end_of_turn>", "own ending"], {"eos_token_id": 256, "eot_token_id": 259}),
    (["<|start|>", "<|end|>", "<|return|>", "<|call|>"], {"eos_token_id": 258}),
    (["<|end|>", "<|flush|>", "<|calls|>"], {"eos_token_id": 257, "eot_token_id": 258}),
    (["<|end|>", "<|return|>"], {"eos_token_id": 257}),
    (["<|tool_response>", "</s>", "<turn|>", "<eos>"], {"eos_token_id": 259}),
    (["[EOS]", "[EOT]", "<EOT>", "_<EOT>", "[e~[", "<｜end▁of▁sentence｜>"], {"eos_token_id": 256}),
    (["last"], {"eos_token_id": 256, "eot_token_id": 99999}),
]


def write_ending_gguf(path: Path, number: int) -> None:
    extra, named = ENDINGS[number]
    tokens = [*sorted(pre_tokenizers.ByteLevel.alphabet()), *extra, "ab"]
    types = [gguf.TokenType.NORMAL] * 256 + [gguf.TokenType.CONTROL] * len(extra) + [gguf.TokenType.NORMAL]
    write_gguf(path, "gpt2", "qwen2", tokens, types, token_merges=["a b"], **named)
