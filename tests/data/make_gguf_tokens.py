"""Makes gguf_tokens.json: what llama.cpp's tokenizers make of many kinds of text, with small vocabularies.

    pip install llama-cpp-python
    python tests/data/make_gguf_tokens.py

Before it writes, it compares our tokenizers with llama.cpp's on these texts and on 5,000 random ones.
"""

import json
import sys
import tempfile
import unicodedata
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[1]), str(HERE.parent)]

from conversion.gguf_splittings import SPLITTINGS
from conversion.gguf_tokenizer import read_gguf_tokenizer

from llama_cpp import Llama
from sentencepiece import SentencePieceProcessor
from vocabularies import TEXTS, learn_merges, many_texts, write_byte_level_gguf, write_scored_gguf, write_sentencepiece


def ids_of(path: Path, texts: list[str]) -> list[list[int]]:
    """llama.cpp's ids, after they were compared with ours."""
    theirs, ours = Llama(str(path), vocab_only=True, verbose=False), read_gguf_tokenizer(path)
    expected = [theirs.tokenize(text.encode("utf-8"), add_bos=True, special=False) for text in texts]
    differing = [text for text, ids in zip(texts, expected, strict=True) if unmatched(ours, text) != ids]
    print(f"{path.stem}: {len(texts)} texts, {len(differing)} differ", *map(ascii, differing[:3]))
    return expected[: len(TEXTS)]


def unmatched(tokenizer, text: str) -> list[int]:
    """Ids of a text in which control tokens are characters."""
    return tokenizer(text, split_special_tokens=True)["input_ids"]


def main() -> None:
    composed = [unicodedata.normalize("NFC", text) for text in TEXTS + many_texts(5000)]
    merges = learn_merges(420)
    with tempfile.TemporaryDirectory() as temporary:
        model = Path(temporary, "tokenizer.model")
        write_sentencepiece(model)
        processor = SentencePieceProcessor(model_file=str(model))
        pieces = [processor.id_to_piece(id) for id in range(processor.get_piece_size())]
        # Runs of spaces, which share a score: it matters which of two merges is done first.
        runs = ["▁" * length for length in (2, 4, 8, 5, 16, 6, 12, 13, 10, 14, 3, 9, 7, 11)]
        pieces = [*pieces[:259], *runs, *(piece for piece in pieces[259:] if piece not in runs)]
        ids = {}
        for pre in SPLITTINGS:
            path = Path(temporary, f"{pre}.gguf")
            write_byte_level_gguf(path, pre, merges)
            ids[pre] = ids_of(path, composed)
        path = Path(temporary, "llama.gguf")
        write_scored_gguf(path, pieces)
        ids["llama"] = ids_of(path, composed)
    with (HERE / "gguf_tokens.json").open("w", encoding="utf-8") as file:
        json.dump({"merges": merges, "pieces": pieces, "texts": composed[: len(TEXTS)], "ids": ids}, file)


if __name__ == "__main__":
    main()
