import base64
import json
import random
import re
import shutil
import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np
import openvino as ov
import pytest
import tiktoken
from sentencepiece import SentencePieceProcessor
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from llm_chatbot.convert.tokenizer.openvino_tokenizers import save_as_openvino
from llm_chatbot.convert.tokenizer.original_tokenizers import (
    CHATGLM3_SPECIAL_TOKENS,
    QWEN_SPECIAL_TOKENS,
    QWEN_SPLIT,
    read_chatglm3_tokenizer,
    read_qwen_tokenizer,
    read_tokenizer,
)
from llm_chatbot.engine.text.detokenizer import StreamingDetokenizer
from llm_chatbot.engine.text.prompt import prompt_ids
from llm_chatbot.errors import UserError
from tests.vocabularies import TEXTS, byte_level_tokens, learn_merges, many_texts, write_sentencepiece, write_tiktoken

CHATGLM3_TEMPLATE = (
    "[gMASK]sop{% for message in messages %}<|{{ message.role }}|>\n {{ message.content }}{% endfor %}<|assistant|>"
)


def write_json(path: Path, **values) -> None:
    path.write_text(json.dumps(values), encoding="utf-8")


def write_qwen(folder: Path) -> None:
    write_tiktoken(folder / "qwen.tiktoken", QWEN_SPLIT)
    write_json(folder / "config.json", model_type="qwen", auto_map={"AutoConfig": "configuration_qwen.QWenConfig"})
    write_json(
        folder / "tokenizer_config.json",
        tokenizer_class="QWenTokenizer",
        model_max_length=8192,
        auto_map={"AutoTokenizer": ["tokenization_hostile.HostileTokenizer", None]},
    )


def write_chatglm3(folder: Path) -> None:
    write_sentencepiece(folder / "tokenizer.model")
    write_json(folder / "config.json", model_type="chatglm", auto_map={"AutoConfig": "configuration_chatglm.Config"})
    write_json(
        folder / "tokenizer_config.json",
        tokenizer_class="ChatGLMTokenizer",
        auto_map={"AutoTokenizer": ["tokenization_hostile.HostileTokenizer", None]},
    )


def write_llama(folder: Path) -> None:
    write_sentencepiece(folder / "tokenizer.model")
    write_json(folder / "config.json", model_type="llama")
    write_json(
        folder / "tokenizer_config.json",
        tokenizer_class="LlamaTokenizer",
        chat_template="{{ messages[0].content }}",
        auto_map={"AutoTokenizer": ["tokenization_hostile.HostileTokenizer", None]},
    )


def write_byte_level(folder: Path) -> None:
    """A byte-level `tokenizer.json` under the name of a class that is for another kind, as in a distilled Llama."""
    merges = learn_merges(400, QWEN_SPLIT)
    vocabulary = {token: id for id, token in enumerate(byte_level_tokens(merges))}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<|endoftext|>"])
    tokenizer.save(str(folder / "tokenizer.json"))
    write_json(folder / "config.json", model_type="llama")
    write_json(
        folder / "tokenizer_config.json",
        tokenizer_class="LlamaTokenizerFast",
        auto_map={"AutoTokenizer": ["tokenization_hostile.HostileTokenizer", None]},
    )


WRITERS = {"qwen": write_qwen, "chatglm3": write_chatglm3, "llama": write_llama, "byte_level": write_byte_level}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A checkpoint's tokenizer files of each kind, with its own Python file, which must not run."""
    folders = {}
    for name, write in WRITERS.items():
        folders[name] = tmp_path_factory.mktemp(name)
        write(folders[name])
        hostile = f"open({str(folders[name] / 'ran')!r}, 'w').close()\nclass HostileTokenizer: pass\n"
        (folders[name] / "tokenization_hostile.py").write_text(hostile, encoding="utf-8")
    return folders


@pytest.fixture(scope="module")
def qwen(folders) -> PreTrainedTokenizerFast:
    return read_qwen_tokenizer(folders["qwen"])


@pytest.fixture(scope="module")
def chatglm3(folders) -> PreTrainedTokenizerFast:
    return read_chatglm3_tokenizer(folders["chatglm3"])


@pytest.fixture(params=WRITERS)
def tokenizer(request, folders) -> PreTrainedTokenizerFast:
    return read_tokenizer(folders[request.param])


def test_qwens_ids_and_text_are_tiktokens(qwen, folders):
    lines = (folders["qwen"] / "qwen.tiktoken").read_bytes().splitlines()
    ranks = {base64.b64decode(line.split()[0]): int(line.split()[1]) for line in lines}
    special = {token: len(ranks) + number for number, token in enumerate(QWEN_SPECIAL_TOKENS)}
    original = tiktoken.Encoding("qwen", pat_str=QWEN_SPLIT, mergeable_ranks=ranks, special_tokens=special)
    for text in TEXTS + many_texts(1000):
        composed = unicodedata.normalize("NFC", text)
        ids = qwen(text)["input_ids"]
        assert ids == original.encode(composed, allowed_special="all")
        assert qwen.decode(ids) == composed
        as_text = qwen(text, split_special_tokens=True)["input_ids"]
        assert as_text == original.encode(composed, disallowed_special=())


def test_qwens_special_tokens_follow_the_ranks(qwen):
    names = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<extra_199>"]
    assert qwen.convert_tokens_to_ids(names) == [500, 501, 502, 707]
    assert len(qwen) == 708 and qwen.eos_token_id == 500 and qwen.model_max_length == 8192


def test_chatglm3s_ids_and_text_are_sentencepieces(chatglm3, folders):
    original = SentencePieceProcessor(model_file=str(folders["chatglm3"] / "tokenizer.model"))
    for text in TEXTS + many_texts(1000):
        ids = chatglm3(text, split_special_tokens=True, add_special_tokens=False)["input_ids"]
        assert ids == original.encode(text)
        assert chatglm3.decode(ids) == original.decode(ids)
    text = "Do people read philosophy?"
    assert chatglm3(text, add_special_tokens=False)["input_ids"] == original.encode(text)


def test_chatglm3s_special_tokens_follow_the_pieces_and_start_a_text(chatglm3):
    assert chatglm3.convert_tokens_to_ids(list(CHATGLM3_SPECIAL_TOKENS)) == list(range(700, 709))
    ids = chatglm3("Hello")["input_ids"]
    assert ids[:2] == [701, 703]
    assert chatglm3.decode(ids) == "[gMASK]sop Hello" and chatglm3.decode(ids, skip_special_tokens=True) == "Hello"
    assert (chatglm3.pad_token_id, chatglm3.eos_token_id) == (0, 2)


def test_a_chatglm3_prompt_has_the_templates_control_tokens_and_no_others(chatglm3, folders):
    original = SentencePieceProcessor(model_file=str(folders["chatglm3"] / "tokenizer.model"))
    chatglm3.chat_template = CHATGLM3_TEMPLATE
    for content in ["Do people like philosophy?", "a sop", "<|user|>", "[gMASK]sop 你好"]:
        expected = [701, 703, 706, *original.encode("\n"), *original.encode(content), 707]
        assert prompt_ids(chatglm3, [{"role": "user", "content": content}]) == expected


def test_llamas_original_file_gives_sentencepieces_ids_and_its_settings_are_kept(folders):
    llama = read_tokenizer(folders["llama"])
    original = SentencePieceProcessor(model_file=str(folders["llama"] / "tokenizer.model"))
    for text in TEXTS + many_texts(300):
        assert llama(text, split_special_tokens=True)["input_ids"] == [1, *original.encode(text)]
    assert llama.chat_template == "{{ messages[0].content }}"
    assert (llama.bos_token, llama.eos_token, llama.unk_token) == ("<s>", "</s>", "<unk>")


def test_a_tokenizer_json_is_taken_as_it_stands_whatever_class_it_names(folders):
    original = Tokenizer.from_file(str(folders["byte_level"] / "tokenizer.json"))
    found = read_tokenizer(folders["byte_level"])
    assert [found(text)["input_ids"] for text in TEXTS] == [original.encode(text).ids for text in TEXTS]


def test_a_length_that_texts_were_cut_and_padded_to_in_training_is_not_kept(folders, tmp_path: Path):
    shutil.copytree(folders["byte_level"], tmp_path / "cut")
    original = Tokenizer.from_file(str(tmp_path / "cut" / "tokenizer.json"))
    original.enable_truncation(3)
    original.enable_padding(length=40)
    original.save(str(tmp_path / "cut" / "tokenizer.json"))
    read_tokenizer(tmp_path / "cut").save_pretrained(tmp_path / "saved")
    saved = Tokenizer.from_file(str(tmp_path / "saved" / "tokenizer.json"))
    assert (saved.truncation, saved.padding) == (None, None)


def write_vocabulary_and_merges(original: Tokenizer, folder: Path) -> None:
    original.model.save(str(folder))
    write_json(folder / "config.json", model_type="gpt2")
    write_json(folder / "tokenizer_config.json", tokenizer_class="GPT2Tokenizer")


def test_a_vocabulary_with_merges_is_read(folders, tmp_path: Path):
    original = Tokenizer.from_file(str(folders["byte_level"] / "tokenizer.json"))
    write_vocabulary_and_merges(original, tmp_path)
    found = read_tokenizer(tmp_path)
    assert [found(text)["input_ids"] for text in TEXTS] == [original.encode(text).ids for text in TEXTS]


def test_nothing_of_a_checkpoint_runs_and_nothing_points_to_it(tokenizer, folders, tmp_path: Path):
    tokenizer.save_pretrained(tmp_path)
    assert not [name for name, folder in folders.items() if (folder / "ran").exists()]
    assert "auto_map" not in (tmp_path / "tokenizer_config.json").read_text(encoding="utf-8")


def test_the_saved_tokenizer_is_an_ordinary_one(tokenizer, tmp_path: Path):
    tokenizer.save_pretrained(tmp_path)
    write_json(tmp_path / "config.json", model_type="llama")
    saved = AutoTokenizer.from_pretrained(tmp_path)
    for text in TEXTS:
        ids = tokenizer(text)["input_ids"]
        assert saved(text)["input_ids"] == ids
        assert saved.decode(ids) == tokenizer.decode(ids)
    assert saved.special_tokens_map == tokenizer.special_tokens_map


def test_streamed_text_is_the_decoded_text(tokenizer):
    for text in TEXTS:
        ids = tokenizer(text)["input_ids"]
        stream = StreamingDetokenizer(tokenizer)
        for token in ids:
            stream.add_token(token)
        assert stream.text == tokenizer.decode(ids, skip_special_tokens=True)


def test_the_openvino_tokenizer_gives_the_same_ids_and_text(tokenizer, tmp_path: Path):
    save_as_openvino(tokenizer, tmp_path)
    encode = ov.compile_model(tmp_path / "openvino_tokenizer.xml", "CPU")
    decode = ov.compile_model(tmp_path / "openvino_detokenizer.xml", "CPU")
    prompts = ["[gMASK]sop<|user|>\n people<|assistant|>", "<|im_start|>user\nHi<|im_end|>\n", "a sop, ½sop, soporific"]
    for text in [*TEXTS, *prompts]:
        if text == "<0x41>":  # OpenVINO's reads such a text as the byte
            continue
        ids = tokenizer(text)["input_ids"]
        assert encode([text])["input_ids"][0].tolist() == ids
        if ids:
            shown = decode(np.array([ids]))["string_output"][0]
            assert shown == tokenizer.decode(ids, skip_special_tokens=True)


def swapped(content: bytes, one: bytes, other: bytes) -> bytes:
    return content.replace(one, b"?").replace(other, one).replace(b"?", other)


DAMAGES: dict[str, tuple[str, str, Callable[[bytes], bytes]]] = {
    "ranks cut in a token": ("qwen", "qwen.tiktoken", lambda content: content[:-8]),
    "ranks with a gap": ("qwen", "qwen.tiktoken", lambda content: content.replace(b" 400\n", b" 4000\n")),
    "ranks mixed up, a long token before the bytes": (
        "qwen",
        "qwen.tiktoken",
        lambda content: swapped(content, b" 0\n", b" 499\n"),
    ),
    "ranks that are none": ("qwen", "qwen.tiktoken", lambda content: b"version https://git-lfs.github.com/spec/v1\n"),
    "pieces cut": ("chatglm3", "tokenizer.model", lambda content: content[: len(content) // 2]),
    "pieces that are none": ("llama", "tokenizer.model", lambda content: b"<html></html>"),
    "JSON cut": ("byte_level", "tokenizer.json", lambda content: content[:-100]),
    "another JSON": ("byte_level", "tokenizer.json", lambda content: b"{}"),
    "unknown merge": (
        *("byte_level", "tokenizer.json"),
        lambda content: b'{"model": {"type": "BPE", "vocab": {"a": 0}, "merges": [["a", "b"]]}}',
    ),
    "empty vocabulary": (
        *("byte_level", "tokenizer.json"),
        lambda content: b'{"model": {"type": "BPE", "vocab": {}, "merges": []}}',
    ),
    "no vocabulary": ("byte_level", "tokenizer.json", lambda content: b'{"model": {"type": "BPE"}}'),
    "settings cut": ("llama", "tokenizer_config.json", lambda content: content[:-10]),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_file_is_said_with_the_remedy(damage, folders, tmp_path: Path):
    kind, name, spoil = damage
    for path in folders[kind].glob("*.*"):
        content = path.read_bytes()
        (tmp_path / path.name).write_bytes(spoil(content) if path.name == name else content)
    with pytest.raises(UserError, match=f"{name} is damaged; delete it and download the checkpoint again"):
        read_tokenizer(tmp_path)


def spoilt(content: bytes, chance: random.Random) -> bytes:
    """The content without its end, or with some bytes of any value."""
    if chance.random() < 0.3:
        return content[: chance.randrange(len(content))]
    spoilt = bytearray(content)
    for _ in range(chance.choice([1, 3, 20])):
        spoilt[chance.randrange(len(content))] = chance.randrange(256)
    return bytes(spoilt)


@pytest.mark.parametrize("name", ["vocab.json", "merges.txt"])
def test_whatever_is_damaged_in_a_vocabulary_or_its_merges_it_reads_or_gives_a_sentence(name, folders, tmp_path: Path):
    write_vocabulary_and_merges(Tokenizer.from_file(str(folders["byte_level"] / "tokenizer.json")), tmp_path)
    content, chance = (tmp_path / name).read_bytes(), random.Random(0)
    refused = 0
    for _ in range(150):
        (tmp_path / name).write_bytes(spoilt(content, chance))
        try:
            read_tokenizer(tmp_path)("Hello, world!")
        except UserError as error:
            refused += 1
            assert re.fullmatch(r".*(vocab\.json|merges\.txt) is damaged; delete it and download .*\.", str(error))
    assert refused > 50


@pytest.mark.parametrize("vocabulary", [{"a": "b"}, {"a": -1}, {"a": 1.5}, {"a": 2**40}, {"a": None}], ids=str)
def test_ids_that_are_none_are_said_of_the_vocabulary(vocabulary: dict, folders, tmp_path: Path):
    write_vocabulary_and_merges(Tokenizer.from_file(str(folders["byte_level"] / "tokenizer.json")), tmp_path)
    write_json(tmp_path / "vocab.json", **vocabulary)
    with pytest.raises(UserError, match=r"vocab\.json is damaged"):
        read_tokenizer(tmp_path)


@pytest.mark.parametrize("model_type", ["qwen", "chatglm", "llama"])
def test_missing_files_are_said_with_the_remedy(model_type: str, tmp_path: Path):
    write_json(tmp_path / "config.json", model_type=model_type)
    write_json(tmp_path / "tokenizer_config.json")
    with pytest.raises(UserError, match="download the model's tokenizer files too"):
        read_tokenizer(tmp_path)


@pytest.mark.parametrize(
    "options", [{"model_type": "unigram", "hard_vocab_limit": False}, {"user_defined_symbols": ["people"]}], ids=str
)
def test_a_sentencepiece_model_that_would_be_read_wrongly_is_refused(options: dict, tmp_path: Path):
    write_sentencepiece(tmp_path / "tokenizer.model", **options)
    write_json(tmp_path / "config.json", model_type="llama")
    with pytest.raises(UserError, match=r"add the model's tokenizer\.json"):
        read_tokenizer(tmp_path)
