"""OpenVINO's models of a tokenizer and a detokenizer against the tokenizer itself."""

from pathlib import Path

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from llm_chatbot.convert.facts.folder_facts import compare_tokenizers, sample_texts
from llm_chatbot.convert.tokenizer.openvino_tokenizers import save_as_openvino


def byte_level(*steps: pre_tokenizers.PreTokenizer, clean_up: bool = False) -> PreTrainedTokenizerFast:
    vocabulary = {token: id for id, token in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    tokenizer = Tokenizer(models.BPE(vocabulary, []))
    # With merges of spaces and halves of characters: they show where a text was split.
    trainer = trainers.BpeTrainer(vocab_size=600, initial_alphabet=list(vocabulary), show_progress=False)
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.train_from_iterator(sample_texts(), trainer)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([*steps, pre_tokenizers.ByteLevel(add_prefix_space=False)])
    tokenizer.add_special_tokens(["<|endoftext|>"])
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, clean_up_tokenization_spaces=clean_up)


@pytest.mark.parametrize("individual", [True, False])
@pytest.mark.parametrize("clean_up", [True, False])
def test_digits_of_any_script_and_spaces_are_read_and_written_as_in_the_tokenizer(
    individual: bool, clean_up: bool, tmp_path: Path
):
    tokenizer = byte_level(pre_tokenizers.Digits(individual_digits=individual), clean_up=clean_up)
    save_as_openvino(tokenizer, tmp_path)
    found = compare_tokenizers(tmp_path, tokenizer)
    assert (found["other_ids"], found["other_text"]) == (0, 0), found


def test_what_is_read_otherwise_is_counted(tmp_path: Path):
    save_as_openvino(byte_level(), tmp_path)
    other = byte_level(pre_tokenizers.Split("l", "isolated"))
    found = compare_tokenizers(tmp_path, other)
    assert 0 < found["other_ids"] < found["texts"] == len(sample_texts())
    assert found["examples"] and set(found["examples"]) <= set(sample_texts())
    (tmp_path / "openvino_tokenizer.bin").unlink()
    (tmp_path / "openvino_tokenizer.xml").write_text("no model", encoding="utf-8")
    assert "error" in compare_tokenizers(tmp_path, other)
