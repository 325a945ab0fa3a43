import json
from pathlib import Path

import pytest
from gguf import TokenType

from llm_chatbot.catalogue.lookup import get_model_config
from llm_chatbot.catalogue.rows import DEFAULT_MODEL
from llm_chatbot.convert.tokenizer.gguf_tokenizer import fast_tokenizer, read_fast_tokenizer
from llm_chatbot.engine.decode.logprobs import token_bytes
from llm_chatbot.engine.gguf_file import GGUFFile
from llm_chatbot.engine.text.tokenizer import FolderTokenizer
from llm_chatbot.errors import UserError
from llm_chatbot.gguf.splittings import SPLITTINGS
from llm_chatbot.gguf.tokenizer import read_gguf_tokenizer
from llm_chatbot.sources.wheel import fetch_from_wheel
from tests.vocabularies import (
    ENDINGS,
    MARKED_TEXTS,
    write_byte_level_gguf,
    write_ending_gguf,
    write_gemma_gguf,
    write_gguf,
    write_phi3_gguf,
    write_scored_gguf,
)

DATA = Path(__file__).resolve().parents[1] / "data"
EMBEDDED = json.loads((DATA / "smollm2_tokens.json").read_text(encoding="utf-8"))
EXPECTED = json.loads((DATA / "gguf_tokens.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def embedded_tokenizer():
    return read_fast_tokenizer(fetch_from_wheel(get_model_config(DEFAULT_MODEL).checkpoint))


@pytest.fixture(params=EXPECTED["answers"])
def kind_and_path(request, tmp_path: Path) -> tuple[str, Path]:
    path = tmp_path / "small.gguf"
    if request.param == "llama":
        write_scored_gguf(path, EXPECTED["pieces"])
    elif request.param == "gemma":
        write_gemma_gguf(path, EXPECTED["pieces"])
    elif request.param == "phi3":
        write_phi3_gguf(path, EXPECTED["pieces"])
    else:
        write_byte_level_gguf(path, request.param, EXPECTED["merges"])
    return request.param, path


def test_every_splitting_was_compared_with_llama_cpp():
    assert {*SPLITTINGS, "llama", "gemma", "phi3"} == EXPECTED["answers"].keys()


def test_the_texts_tell_all_splittings_apart():
    """But Bailing's from Qwen's, which differ in how they say the same."""
    different = {(splitting.patterns, splitting.whole_first) for splitting in SPLITTINGS.values()}
    assert len({EXPECTED["answers"][pre] for pre in SPLITTINGS}) == len(different) - 1


@pytest.mark.parametrize("number", range(len(ENDINGS)))
def test_the_tokens_that_end_an_answer_are_llama_cpps(number: int, tmp_path: Path):
    write_ending_gguf(tmp_path / "small.gguf", number)
    read = read_gguf_tokenizer(tmp_path / "small.gguf")
    assert sorted(read.stop_ids) == EXPECTED["stop_ids"][number]
    assert {*EXPECTED["stop_ids"][number]} <= {*fast_tokenizer(read).all_special_ids}


@pytest.mark.parametrize("row", EMBEDDED, ids=lambda row: ascii(row["text"][:20]))
def test_the_embedded_tokenizer_gives_llama_cpps_ids_and_the_text_back(row: dict, embedded_tokenizer):
    ids = embedded_tokenizer(row["text"], split_special_tokens=True)["input_ids"]
    assert ids == row["ids"]
    assert embedded_tokenizer.decode(ids) == row["text"]


def test_the_embedded_tokenizer_keeps_its_special_tokens_whole(embedded_tokenizer):
    text = "<|im_start|>user\n<|im_end|>"
    ids = embedded_tokenizer(text)["input_ids"]
    assert ids == [1, 4093, 198, 2]
    assert embedded_tokenizer.decode(ids, skip_special_tokens=True) == "user\n"
    assert (embedded_tokenizer.bos_token_id, embedded_tokenizer.eos_token_id) == (1, 2)
    assert (embedded_tokenizer.pad_token_id, embedded_tokenizer.unk_token_id) == (2, 0)


def test_each_kind_of_tokenizer_gives_llama_cpps_ids_and_the_text_back(kind_and_path: tuple[str, Path]):
    kind, path = kind_and_path
    tokenizer = read_fast_tokenizer(path)
    for text, expected in zip(EXPECTED["texts"], EXPECTED["ids"][EXPECTED["answers"][kind]], strict=True):
        ids = tokenizer(text, split_special_tokens=True)["input_ids"]
        assert ids == expected
        assert tokenizer.decode(ids, skip_special_tokens=True) == text
    assert tokenizer.model_max_length == 2048


def test_each_kind_of_tokenizer_finds_control_tokens_as_llama_cpp_does(kind_and_path: tuple[str, Path]):
    kind, path = kind_and_path
    tokenizer = read_fast_tokenizer(path)
    for text, expected in zip(MARKED_TEXTS, EXPECTED["marked_ids"][kind], strict=True):
        assert tokenizer(text, add_special_tokens=False)["input_ids"] == expected


def test_a_file_and_its_converted_folder_have_the_same_tokenizer(kind_and_path: tuple[str, Path], tmp_path: Path):
    _, path = kind_and_path
    read_fast_tokenizer(path).save_pretrained(tmp_path / "folder")
    of_folder, of_file = FolderTokenizer(tmp_path / "folder"), GGUFFile(path).tokenizer
    assert of_file.special_tokens_map == of_folder.special_tokens_map and of_file.special_tokens_map
    assert repr(of_file.added_tokens_decoder) == repr(of_folder.added_tokens_decoder)
    assert of_file.chat_template == of_folder.chat_template
    for text in (*EXPECTED["texts"], *MARKED_TEXTS):
        for special in (True, False):
            ids = of_file(text, add_special_tokens=special)["input_ids"]
            assert ids == of_folder(text, add_special_tokens=special)["input_ids"]
            assert of_file.decode(ids) == of_folder.decode(ids)


def test_control_tokens_are_special_and_those_of_the_user_are_shown(tmp_path: Path):
    write_byte_level_gguf(tmp_path / "small.gguf", "qwen2", EXPECTED["merges"])
    tokenizer = read_fast_tokenizer(tmp_path / "small.gguf")
    ids = tokenizer("<|begin|><think>Hi<|end|>")["input_ids"]
    assert ids[0] == tokenizer.bos_token_id and ids[-1] == tokenizer.eos_token_id
    assert tokenizer.decode(ids, skip_special_tokens=True) == "<think>Hi"
    assert tokenizer.convert_ids_to_tokens(ids)[1] == "<think>"


def test_qwens_text_is_composed_as_its_own_tokenizer_does(tmp_path: Path):
    write_byte_level_gguf(tmp_path / "small.gguf", "qwen2", EXPECTED["merges"])
    tokenizer = read_fast_tokenizer(tmp_path / "small.gguf")
    assert tokenizer("cafe\u0301")["input_ids"] == tokenizer("caf\u00e9")["input_ids"]


@pytest.mark.parametrize(("kind", "pre"), [("gpt2", "kimi-k2"), ("bert", "default")])
def test_a_kind_that_is_not_known_is_refused(kind: str, pre: str, tmp_path: Path):
    write_gguf(tmp_path / "other.gguf", kind, pre, ["a"], [1])
    with pytest.raises(UserError, match="is not supported; choose a file with the type llama"):
        read_gguf_tokenizer(tmp_path / "other.gguf")


@pytest.mark.parametrize("size", [0, 3, 40, 3000])
def test_a_file_that_was_cut_short_is_refused(size: int, tmp_path: Path):
    path = tmp_path / "small.gguf"
    write_byte_level_gguf(path, "qwen2", EXPECTED["merges"])
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(UserError, match="download it again"):
        read_gguf_tokenizer(path)


@pytest.mark.parametrize("type", [TokenType.NORMAL, TokenType.USER_DEFINED, TokenType.UNUSED])
def test_a_token_that_the_file_has_twice_is_written_as_the_first_and_both_are_read(type: TokenType, tmp_path: Path):
    """As official files of Gemma 4 do."""
    tokens, types = ["a", "b", "ab", "ab", "<|end|>"], [TokenType.NORMAL] * 3 + [type, TokenType.CONTROL]
    write_gguf(tmp_path / "twice.gguf", "gpt2", "gpt-2", tokens, types, token_merges=["a b"])
    tokenizer = GGUFFile(tmp_path / "twice.gguf").tokenizer
    assert tokenizer("ab")["input_ids"] == [2]
    assert [tokenizer.decode([id]) for id in (2, 3)] == ["ab", "ab"]
    assert [token_bytes(tokenizer.backend_tokenizer, id) for id in (2, 3)] == [b"ab", b"ab"]


@pytest.mark.parametrize(
    ("add_bos", "template", "bos"),
    [
        (True, "{{ messages[0]['content'] }}", 1),
        (True, "{{ bos_token }}{{ messages[0]['content'] }}", 1),
        (True, "<|begin|>{{ messages[0]['content'] }}", 1),
        (False, "{{ messages[0]['content'] }}", 0),
        (False, "{{ bos_token }}{{ messages[0]['content'] }}", 1),
        (True, "{# bos_token comes from the program #}{{ messages[0]['content'] }}", 1),
        (True, "{% if tools %}{{ bos_token }}{% endif %}{{ messages[0]['content'] }}\n", 1),
        (True, "{% set start = bos_token %}\n{{- start + messages[0]['content'] }}", 1),
        (False, "{% if tools %}{{ bos_token }}{% endif %}{{ messages[0]['content'] }}", 0),
    ],
)
def test_a_prompt_has_one_bos_where_the_file_says_so(add_bos: bool, template: str, bos: int, tmp_path: Path):
    tokens, types = ["a", "<|begin|>"], [TokenType.NORMAL, TokenType.CONTROL]
    settings = {"bos_token_id": 1, "add_bos_token": add_bos, "chat_template": template}
    write_gguf(tmp_path / "bos.gguf", "gpt2", "gpt-2", tokens, types, **settings)
    tokenizer = GGUFFile(tmp_path / "bos.gguf").tokenizer
    prompt = tokenizer.apply_chat_template([{"role": "user", "content": "a"}], tokenize=True)
    assert prompt["input_ids"] == [1] * bos + [0]
    assert tokenizer("a")["input_ids"] == [1] * add_bos + [0]


def test_the_template_for_tools_is_used_where_there_are_tools(tmp_path: Path):
    templates = [{"name": "default", "template": "\nplain"}, {"name": "tool_use", "template": "{{ tools[0] }}\nused"}]
    write_gguf(tmp_path / "two.gguf", "gpt2", "gpt-2", ["a"], [TokenType.NORMAL], chat_template=templates)
    tokenizer = GGUFFile(tmp_path / "two.gguf").tokenizer
    assert tokenizer.apply_chat_template([]) == "\nplain"
    assert tokenizer.apply_chat_template([], tools=["find"]) == "find\nused"
