"""OpenVINO's models of a tokenizer and a detokenizer against the tokenizer itself."""

from pathlib import Path

import pytest
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from llm_chatbot.convert.facts.folder_facts import compare_tokenizers, sample_texts
from llm_chatbot.convert.tokenizer.openvino_tokenizers import save_as_openvino


def byte_level(
    *steps: pre_tokenizers.PreTokenizer, clean_up: bool = False, own_split: bool = True
) -> PreTrainedTokenizerFast:
    vocabulary = {token: id for id, token in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    tokenizer = Tokenizer(models.BPE(vocabulary, []))
    # With merges of spaces and halves of characters: they show where a text was split.
    trainer = trainers.BpeTrainer(vocab_size=600, initial_alphabet=list(vocabulary), show_progress=False)
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.train_from_iterator(sample_texts(), trainer)
    last = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=own_split)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([*steps, last])
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


def test_each_of_several_splits_sees_only_what_the_ones_before_left(tmp_path: Path):
    """Spaces before a digit are at the end of a piece, as in DeepSeek's vocabulary."""
    patterns = (r"\p{N}{1,3}", "[一-龥぀-ゟ゠-ヿ]+", r"[^\s\p{N}]+|\s+(?!\S)|\s+")
    splits = [pre_tokenizers.Split(Regex(pattern), "isolated") for pattern in patterns]
    tokenizer = byte_level(*splits, own_split=False)
    save_as_openvino(tokenizer, tmp_path)
    found = compare_tokenizers(tmp_path, tokenizer)
    assert (found["other_ids"], found["other_text"]) == (0, 0), found


def byte_fallback(*more: str) -> PreTrainedTokenizerFast:
    """A vocabulary like Llama 2's: tokens for bytes, spaces as "▁", one before each text."""
    letters = sorted({*"".join(sample_texts()).replace(" ", "▁")} - {*"½٣🎉"})
    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁", *letters, "▁<", "0x", *more]
    merges = [(piece[0], piece[1:]) for piece in ("▁<", "0x", *more)]
    model = models.BPE({piece: id for id, piece in enumerate(dict.fromkeys(pieces))}, merges, unk_token="<unk>")
    model.byte_fallback = True
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokenizer.add_special_tokens(["<unk>", "<s>", "</s>"])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", bos_token="<s>", eos_token="</s>")


def test_the_name_of_a_byte_that_is_typed_stays_text(tmp_path: Path):
    tokenizer = byte_fallback()
    save_as_openvino(tokenizer, tmp_path)
    found = compare_tokenizers(tmp_path, tokenizer)
    assert any("<0x0A>" in text for text in sample_texts())
    assert (found["other_ids"], found["other_text"]) == (0, 0), found


def test_the_name_of_a_byte_stays_text_between_added_tokens(tmp_path: Path):
    """Line breaks are added tokens in Gemma's vocabulary, which puts no space before a text."""
    tokenizer = byte_fallback()
    tokenizer.backend_tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.backend_tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    tokenizer.add_tokens(["\n", "\t"])
    save_as_openvino(tokenizer, tmp_path)
    found = compare_tokenizers(tmp_path, tokenizer)
    assert (found["other_ids"], found["other_text"]) == (0, 0), found


def test_the_name_of_a_byte_is_counted_where_it_can_not_be_split(tmp_path: Path):
    tokenizer = byte_fallback("<0")
    save_as_openvino(tokenizer, tmp_path)
    found = compare_tokenizers(tmp_path, tokenizer)
    assert 0 < found["other_ids"] < found["texts"] and all("<0x" in text for text in found["examples"])


def test_what_is_read_otherwise_is_counted(tmp_path: Path):
    save_as_openvino(byte_level(), tmp_path)
    other = byte_level(pre_tokenizers.Split("l", "isolated"))
    found = compare_tokenizers(tmp_path, other)
    assert 0 < found["other_ids"] < found["texts"] == len(sample_texts())
    assert found["examples"] and set(found["examples"]) <= set(sample_texts())
    (tmp_path / "openvino_tokenizer.bin").unlink()
    (tmp_path / "openvino_tokenizer.xml").write_text("no model", encoding="utf-8")
    assert "error" in compare_tokenizers(tmp_path, other)
