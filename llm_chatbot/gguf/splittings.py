"""Pre-tokenization of byte-level BPE tokenizers, by a GGUF file's name for it (`tokenizer.ggml.pre`).

The patterns are those of the models' own tokenizers, as llama.cpp has them, in Oniguruma's syntax.
"""

from dataclasses import dataclass

from llm_chatbot.gguf.bpe import QWEN_SPLIT

CONTRACTIONS = r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])"

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
QWEN_WORDS = QWEN_SPLIT.replace("(?i:'s|'t|'re|'ve|'m|'ll|'d)", CONTRACTIONS)
LLAMA3 = QWEN_WORDS.replace(r"\p{N}|", r"\p{N}{1,3}|")
QWEN35 = (
    CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
# Words in camel case are split before the next capital. As in llama.cpp, non-ASCII letters count as both cases.
UPPER, LOWER = r"(?:(?=\p{L})[^a-z])", r"(?:(?=\p{L})[^A-Z])"
CASED_WORDS = rf"[^\r\n\p{{L}}\p{{N}}]?{UPPER}*{LOWER}+%s|[^\r\n\p{{L}}\p{{N}}]?{UPPER}+{LOWER}*%s"
OTHERS = r" ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
TEKKEN = CASED_WORDS % ("", "") + r"|\p{N}|" + OTHERS
GPT4O = CASED_WORDS % (CONTRACTIONS + "?", CONTRACTIONS + "?") + r"|\p{N}{1,3}|" + OTHERS
BLOOM = r" ?[^(\s|.,!?…。，、।۔،)]+"
DEEPSEEK3 = (
    r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"
    r"| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
CHINESE_OR_JAPANESE = "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+"
DEEPSEEK_EAST_ASIAN = "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+"
SEED_CODER = CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|\s+(?!\S)|\s+"
BAILING = (
    r"'(?:[sSdDmMtT]|[lL][lL]|[vV][eE]|[rR][eE])|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+"
)
# Letters of scripts with two cases, as listed by DeepSeek's first models.
CASED_LETTERS = (
    "41-5a 61-7a b5 c0-d6 d8-f6 f8-1ba 1bc-1bf 1c4-293 295-2af 370-373 376-377 37b-37d 37f 386 388-38a 38c "
    "38e-3a1 3a3-3f5 3f7-481 48a-52f 531-556 10a0-10c5 13a0-13f5 13f8-13fd 1c90-1cba 1cbd-1cbf 1d00-1d2b "
    "1d6b-1d77 1d79-1d9a 1e00-1f15 1f18-1f1d 1f20-1f45 1f48-1f4d 1f50-1f57 1f59 1f5b 1f5d 1f5f-1f7d 1f80-1fb4 "
    "1fb6-1fbc 1fbe 1fc2-1fc4 1fc6-1fcc 1fd0-1fd3 1fd6-1fdb 1fe0-1fec 1ff2-1ff4 1ff6-1ffc 2102 2107 210a-2113 "
    "2115 2119-211d 2124 2126 2128 212a-212d 212f-2134 2139 213c-213f 2145-2149 214e 2183-2184 2c00-2c7b "
    "2c7e-2ce4 2ceb-2cee 2cf2-2cf3 a640-a66d a680-a69b a722-a76f a771-a787 a78b-a78e ab70-abbf fb00-fb06 "
    "fb13-fb17 ff21-ff3a ff41-ff5a 10400-1044f 104b0-104d3 104d8-104fb 10c80-10cb2 10cc0-10cf2 118a0-118df "
    "1e900-1e943 "
)


def _characters(ranges: str) -> str:
    """A regular expression's character class for hexadecimal code points and ranges of them."""
    return "[" + "".join("-".join(chr(int(end, 16)) for end in part.split("-")) for part in ranges.split()) + "]"


@dataclass(frozen=True)
class Splitting:
    """How text is split before the merges of byte-level BPE.

    Attributes:
        patterns: applied in turn; each isolates its matches in the pieces left by those before it.
        compose: whether text is first normalized to NFC. The models' own tokenizers do that, llama.cpp does not; for
            text in NFC the ids are the same.
        whole_first: whether a piece that is a token is used as it is, ignoring the merges.
        add_bos: whether texts begin with the BOS token if the file does not specify it.
    """

    patterns: tuple[str, ...]
    compose: bool = False
    whole_first: bool = False
    add_bos: bool = False


_DIGITS_ALONE = Splitting((r"\p{N}", GPT2))
_GPT2 = Splitting((GPT2,))
_QWEN = Splitting((QWEN_WORDS,))
_LLAMA3 = Splitting((LLAMA3,), whole_first=True, add_bos=True)

# Only those verified to match llama.cpp, by tests/data/make_gguf_tokens.py.
SPLITTINGS = {
    "default": Splitting((r"[\p{P}$+<=>^~|]+", GPT2, r"\p{N}+", "[0-9]{3}")),
    **dict.fromkeys(("smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b"), _DIGITS_ALONE),
    **dict.fromkeys(("gpt-2", "phi-2", "mpt", "olmo", "jais", "exaone4", "trillion", "gigachat", "a.x-4.0"), _GPT2),
    "qwen2": Splitting((QWEN_WORDS,), compose=True),
    **dict.fromkeys(("deepseek-r1-qwen", "stablelm2", "hunyuan", "megrez", "grok-2"), _QWEN),
    "qwen35": Splitting((QWEN35,), compose=True),
    **dict.fromkeys(
        ("llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral", "lfm2", "midm-2.0"), _LLAMA3
    ),
    **dict.fromkeys(("dbrx", "smaug-bpe", "chatglm-bpe"), Splitting((LLAMA3,))),
    **dict.fromkeys(("glm4", "glm5"), Splitting((LLAMA3,), whole_first=True)),
    "tekken": Splitting((TEKKEN,), whole_first=True, add_bos=True),
    **dict.fromkeys(("gpt-4o", "llama4", "minimax-m2"), Splitting((GPT4O,))),
    "falcon": Splitting((r"[\p{P}$+<=>^~|`]+", GPT2, "[0-9]{3}")),
    **dict.fromkeys(("bloom", "poro-chat", "gpt3-finnish"), Splitting((BLOOM,))),
    "viking": Splitting((BLOOM, r"\p{N}")),
    **dict.fromkeys(
        ("deepseek-v3", "hunyuan-dense", "joyai-llm"), Splitting((r"\p{N}{1,3}", CHINESE_OR_JAPANESE, DEEPSEEK3))
    ),
    "deepseek-llm": Splitting(
        (
            r"[\r\n]",
            r"\s?" + _characters(CASED_LETTERS) + "+",
            r"\s?[!-/:-~\uff01-\uff0f\uff1a-\uff5e\u2018-\u201f\u3000-\u3002]+",
            r"\s+\z",
            DEEPSEEK_EAST_ASIAN,
            r"\p{N}+",
        )
    ),
    "deepseek-coder": Splitting((r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", DEEPSEEK_EAST_ASIAN, r"\p{N}")),
    "seed-coder": Splitting((SEED_CODER,)),
    **dict.fromkeys(("bailingmoe", "bailingmoe2", "llada-moe"), Splitting((BAILING,))),
}
