"""How byte-level tokenizers split text before they merge, by the name that a GGUF file has for it.

The patterns are those of the models' own tokenizers, as llama.cpp has them, in the syntax of Oniguruma.
"""

from dataclasses import dataclass

from conversion.original_tokenizers import QWEN_SPLIT

CONTRACTIONS = r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])"

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
QWEN = QWEN_SPLIT.replace("(?i:'s|'t|'re|'ve|'m|'ll|'d)", CONTRACTIONS)
LLAMA3 = QWEN.replace(r"\p{N}|", r"\p{N}{1,3}|")
QWEN35 = (
    CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
# A word in camel case is split before its next capital. As in llama.cpp, letters beyond ASCII are of both cases.
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
SEED_CODER = CONTRACTIONS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|\s+(?!\S)|\s+"
BAILING = (
    r"'(?:[sSdDmMtT]|[lL][lL]|[vV][eE]|[rR][eE])|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+"
)


@dataclass(frozen=True)
class Splitting:
    """How text is prepared for the merges of byte-level BPE.

    Attributes:
        patterns: each isolates its matches in what the ones before it have left.
        compose: whether text is brought into Unicode's form NFC first. The models' own tokenizer does; llama.cpp,
            whose ids are the same for a text in that form, does not.
        whole_first: whether a piece that is a token is taken as it is, whatever the merges would make of it.
        add_bos: whether texts begin with the BOS token where the file does not say.
    """

    patterns: tuple[str, ...]
    compose: bool = False
    whole_first: bool = False
    add_bos: bool = False


_DIGITS_ALONE = Splitting((r"\p{N}", GPT2))
_GPT2 = Splitting((GPT2,))
_QWEN = Splitting((QWEN,))
_LLAMA3 = Splitting((LLAMA3,), whole_first=True, add_bos=True)

# Only what was proven equal to llama.cpp, by tests/data/make_gguf_tokens.py.
SPLITTINGS = {
    "default": Splitting((r"[\p{P}$+<=>^~|]+", GPT2, r"\p{N}+", "[0-9]{3}")),
    **dict.fromkeys(("smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b"), _DIGITS_ALONE),
    **dict.fromkeys(("gpt-2", "phi-2", "mpt", "olmo", "jais", "exaone4", "trillion", "gigachat", "a.x-4.0"), _GPT2),
    "qwen2": Splitting((QWEN,), compose=True),
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
    "deepseek-coder": Splitting(
        (r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+", r"\p{N}")
    ),
    "seed-coder": Splitting((SEED_CODER,)),
    **dict.fromkeys(("bailingmoe", "bailingmoe2", "llada-moe"), Splitting((BAILING,))),
}
