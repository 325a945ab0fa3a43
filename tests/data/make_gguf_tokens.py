"""Makes gguf_tokens.json: what llama.cpp's tokenizers make of many kinds of text, with small vocabularies.

    pip install llama-cpp-python
    python -m tests.data.make_gguf_tokens

Before it writes, it compares our tokenizers with llama.cpp's on these texts and on 6,000 random ones.
"""

import json
import tempfile
import unicodedata
from pathlib import Path

from llama_cpp import Llama, llama_vocab_is_eog
from sentencepiece import SentencePieceProcessor

from llm_chatbot.convert.tokenizer.gguf_tokenizer import read_fast_tokenizer
from llm_chatbot.gguf.splittings import SPLITTINGS
from llm_chatbot.gguf.tokenizer import read_gguf_tokenizer
from tests.vocabularies import (
    ENDINGS,
    MARKED_TEXTS,
    TEXTS,
    dense_texts,
    learn_merges,
    many_texts,
    write_byte_level_gguf,
    write_ending_gguf,
    write_gemma_gguf,
    write_phi3_gguf,
    write_scored_gguf,
    write_sentencepiece,
)

HERE = Path(__file__).resolve().parent

KEPT = 100  # texts beyond TEXTS


def ids_of(path: Path, texts: list[str]) -> list[list[int]]:
    """llama.cpp's ids, after they were compared with ours."""
    theirs, ours = Llama(str(path), vocab_only=True, verbose=False), read_fast_tokenizer(path)
    expected = [theirs.tokenize(text.encode("utf-8"), add_bos=True, special=False) for text in texts]
    differing = [text for text, ids in zip(texts, expected, strict=True) if unmatched(ours, text) != ids]
    print(f"{path.stem}: {len(texts)} texts, {len(differing)} differ", *map(ascii, differing[:3]))
    theirs.close()
    return expected[: len(TEXTS) + KEPT]


def unmatched(tokenizer, text: str) -> list[int]:
    """Ids of a text in which control tokens are characters."""
    return tokenizer(text, split_special_tokens=True)["input_ids"]


def marked_ids_of(path: Path) -> list[list[int]]:
    """llama.cpp's ids of texts with control tokens, after they were compared with ours."""
    theirs, ours = Llama(str(path), vocab_only=True, verbose=False), read_fast_tokenizer(path)
    expected = [theirs.tokenize(text.encode("utf-8"), add_bos=False, special=True) for text in MARKED_TEXTS]
    for text, ids in zip(MARKED_TEXTS, expected, strict=True):
        if (found := ours(text, add_special_tokens=False)["input_ids"]) != ids:
            print(f"{path.stem}: {text!a} is {ids}, ours {found}")
    theirs.close()
    return expected


def stop_ids_of(path: Path) -> list[int]:
    """Ids of the tokens that end an answer in llama.cpp, after they were compared with ours."""
    theirs = Llama(str(path), vocab_only=True, verbose=False)
    vocabulary = theirs._model.vocab
    found = [id for id in range(theirs.n_vocab()) if llama_vocab_is_eog(vocabulary, id)]
    print(f"{path.stem}: ends with {found}, ours {sorted(read_gguf_tokenizer(path).stop_ids)}")
    theirs.close()
    return found


def llama_pieces(model: Path) -> list[str]:
    """A SentencePiece vocabulary with runs of spaces that share a score: it matters which of two merges is first."""
    write_sentencepiece(model)
    processor = SentencePieceProcessor(model_file=str(model))
    pieces = [processor.id_to_piece(id) for id in range(processor.get_piece_size())]
    runs = ["▁" * length for length in (2, 4, 8, 5, 16, 6, 12, 13, 10, 14, 3, 9, 7, 11)]
    return [*pieces[:259], *runs, *(piece for piece in pieces[259:] if piece not in runs)]


def main() -> None:
    composed = [unicodedata.normalize("NFC", text) for text in TEXTS + dense_texts(3000) + many_texts(3000)]
    merges = learn_merges(700)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        pieces = llama_pieces(folder / "tokenizer.model")
        ids = {}
        for pre in SPLITTINGS:
            write_byte_level_gguf(folder / f"{pre}.gguf", pre, merges)
            ids[pre] = ids_of(folder / f"{pre}.gguf", composed)
        for kind, write in (("llama", write_scored_gguf), ("gemma", write_gemma_gguf), ("phi3", write_phi3_gguf)):
            write(folder / f"{kind}.gguf", pieces)
            ids[kind] = ids_of(folder / f"{kind}.gguf", composed)
        marked_ids = {kind: marked_ids_of(folder / f"{kind}.gguf") for kind in ids}
        stop_ids = []
        for number in range(len(ENDINGS)):
            write_ending_gguf(folder / f"ending{number}.gguf", number)
            stop_ids.append(stop_ids_of(folder / f"ending{number}.gguf"))
    different = list({str(answer): answer for answer in ids.values()}.values())
    answers = {kind: different.index(answer) for kind, answer in ids.items()}
    texts = composed[: len(TEXTS) + KEPT]
    content = {"merges": merges, "pieces": pieces, "texts": texts, "ids": different, "answers": answers}
    with (HERE / "gguf_tokens.json").open("w", encoding="utf-8") as file:
        json.dump({**content, "marked_ids": marked_ids, "stop_ids": stop_ids}, file)


if __name__ == "__main__":
    main()
