import math
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer, decoders, models
from transformers import PreTrainedTokenizerFast

from llm_chatbot.engine.decode.logprobs import token_bytes, token_choice
from tests import small_checkpoints

TEXT = "The café's 日本語 🎉\n\n  end"


def digits() -> Tokenizer:
    return Tokenizer(models.WordLevel({str(digit): digit for digit in range(10)}, "0"))


def text_of(tokenizer: Tokenizer, id: int) -> str:
    return token_choice(tokenizer, id, np.zeros(tokenizer.get_vocab_size(), dtype=np.float32), 0).text


def test_the_bytes_of_byte_level_tokens_make_the_text(tokenizer):
    backend = tokenizer.backend_tokenizer
    ids = tokenizer(TEXT + "<|im_end|>")["input_ids"]
    assert b"".join(token_bytes(backend, id) for id in ids).decode() == TEXT + "<|im_end|>"
    texts = [text_of(backend, id) for id in ids]
    assert texts == [tokenizer.decode([id]) for id in ids] and any("\ufffd" in text for text in texts)


def test_the_bytes_of_tokens_with_a_fallback_make_the_text(tmp_path: Path):
    small_checkpoints.llama_tokenizer(tmp_path)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(tmp_path)
    ids = tokenizer(TEXT, add_special_tokens=False)["input_ids"]
    pieces = [token_bytes(tokenizer.backend_tokenizer, id) for id in ids]
    assert b"".join(pieces).decode().strip() == TEXT and len(pieces) > 10


def test_tokens_without_a_decoder_and_ids_without_a_token():
    tokenizer = digits()
    assert (token_bytes(tokenizer, 3), token_bytes(tokenizer, 99)) == (b"3", b"")
    tokenizer.decoder = decoders.WordPiece()
    assert token_bytes(tokenizer, 3) == b" 3"


@pytest.mark.parametrize("count", [0, 1, 3, 20])
def test_a_choice_has_the_likeliest_tokens_with_their_log_probabilities(count: int):
    probabilities = np.array([0.02, 0.3, 0.05, 0.4, 0.03, 0.1, 0.04, 0.03, 0.02, 0.01])
    choice = token_choice(digits(), 5, np.log(probabilities).astype(np.float32) + 7, count)
    assert (choice.id, choice.text, choice.logprob) == (5, "5", pytest.approx(math.log(0.1), abs=1e-5))
    assert len(choice.top) == min(count, 10)
    assert [top[:2] for top in choice.top[:3]] == [(3, "3"), (1, "1"), (5, "5")][:count]
    logprobs = [top.logprob for top in choice.top]
    np.testing.assert_allclose(logprobs, sorted(np.log(probabilities), reverse=True)[:count], atol=1e-5)


def test_a_token_without_a_probability_has_a_number_that_json_can_say():
    logits = np.full(10, -np.inf, dtype=np.float32)
    logits[4] = 2
    choice = token_choice(digits(), 7, logits, 3)
    assert choice.logprob == -9999 and [top.logprob for top in choice.top] == [0, -9999, -9999]
