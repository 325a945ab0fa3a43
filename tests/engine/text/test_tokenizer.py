import json
import shutil
from pathlib import Path

import pytest
from jinja2 import TemplateError
from tokenizers import Tokenizer, models
from transformers import AutoTokenizer

from llm_chatbot.catalogue.chat_formats import ChatFormat
from llm_chatbot.catalogue.rows import SUPPORTED_LLM_MODELS
from llm_chatbot.engine.session import ChatSession
from llm_chatbot.engine.text.tokenizer import FolderTokenizer
from llm_chatbot.errors import UserError

FORMATS = {name: row.chat_format for name, row in SUPPORTED_LLM_MODELS.items() if row.chat_format.template}
MESSAGES = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Hi <b> & \n\n  there"},
    {"role": "assistant", "content": " 日本語 🎉 "},
    {"role": "user", "content": "Why?"},
]


@pytest.fixture
def folder(embedded_folder: Path, tmp_path: Path) -> Path:
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(embedded_folder / name, tmp_path)
    return tmp_path


def test_texts_have_the_ids_that_transformers_gives_them(embedded_folder: Path, tokenizer):
    ours = FolderTokenizer(embedded_folder)
    for text in ("", "Hello  world", "<|im_start|>user\n", "日本語 🎉"):
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        assert ours(text, add_special_tokens=False)["input_ids"] == ids
        assert ours.decode(ids) == tokenizer.decode(ids)
    assert ours.added_tokens_decoder.keys() == tokenizer.added_tokens_decoder.keys()


def test_texts_are_neither_cut_nor_padded_as_in_training(folder: Path):
    text = "Hello there, how are you today?"
    expected = FolderTokenizer(folder)(text, add_special_tokens=False)
    saved = Tokenizer.from_file(str(folder / "tokenizer.json"))
    for limit in (saved.enable_truncation, lambda size: saved.enable_padding(length=20 * size)):
        limit(3)
        saved.save(str(folder / "tokenizer.json"))
        assert FolderTokenizer(folder)(text, add_special_tokens=False) == expected


@pytest.mark.parametrize("chat_format", [None, *FORMATS.values()], ids=["the model's own", *FORMATS])
def test_a_conversation_is_written_as_transformers_writes_it(folder: Path, chat_format: ChatFormat | None):
    if chat_format is not None:
        (folder / "chat_template.jinja").write_text(chat_format.template or "", encoding="utf-8")
    theirs, ours = AutoTokenizer.from_pretrained(folder), FolderTokenizer(folder)
    for prompted in (True, False):
        ids = [it.apply_chat_template(MESSAGES, add_generation_prompt=prompted, tokenize=True) for it in (ours, theirs)]
        assert ids[0]["input_ids"] == ids[1]["input_ids"]
        options = {"add_generation_prompt": prompted, "tokenize": False}
        assert ours.apply_chat_template(MESSAGES, **options) == theirs.apply_chat_template(MESSAGES, **options)


@pytest.mark.parametrize(
    "template",
    [
        "{% for m in messages %}{{ bos_token }}{% generation %}{{ m.content }}{% endgeneration %}{% endfor %}",
        "{{ messages | tojson }}{{ messages[0] | tojson(indent=2) }}",
        "{{ tools is none }}{{ documents is none }}{{ bos_token }}",
        "{% for m in messages %}{% if loop.index == 2 %}{% break %}{% endif %}  {{ m.role }}\n{% endfor %}\n",
    ],
    ids=["generation", "tojson", "variables", "break"],
)
def test_what_templates_use_beyond_jinja_is_there(template: str, folder: Path):
    (folder / "chat_template.jinja").write_text(template, encoding="utf-8")
    tokenizers = FolderTokenizer(folder), AutoTokenizer.from_pretrained(folder)
    ours, theirs = (it.apply_chat_template(MESSAGES, add_generation_prompt=True, tokenize=False) for it in tokenizers)
    assert ours == theirs


@pytest.mark.parametrize("template", ["{{ raise_exception('No system.') }}", "{{ ''.__class__.__mro__ }}", "{% if %}"])
def test_a_template_that_refuses_or_reaches_out_of_the_sandbox_fails(template: str, folder: Path):
    (folder / "chat_template.jinja").write_text(template, encoding="utf-8")
    with pytest.raises(TemplateError):
        FolderTokenizer(folder).apply_chat_template(MESSAGES, add_generation_prompt=True, tokenize=False)


def test_the_default_of_several_templates_in_the_settings_is_taken(folder: Path):
    (folder / "chat_template.jinja").unlink()
    assert FolderTokenizer(folder).chat_template is None
    settings = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    settings["chat_template"] = [{"name": "tools", "template": "T"}, {"name": "default", "template": "D"}]
    settings["bos_token"] = {"content": "<|im_start|>", "special": True}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    tokenizer = FolderTokenizer(folder)
    assert tokenizer.apply_chat_template(MESSAGES) == tokenizer.apply_chat_template(MESSAGES, tools=[{}]) == "D"
    assert FolderTokenizer(folder).special_tokens_map["bos_token"] == "<|im_start|>"


# The halves of a merge have to be tokens.
UNKNOWN_MERGE = b'{"model": {"type": "BPE", "vocab": {"a": 0}, "merges": [["a", "b"]]}}'


@pytest.mark.parametrize("content", [b"{", b"[]", b"{}", b"\xff", b'{"model": 1}', UNKNOWN_MERGE])
def test_a_damaged_tokenizer_is_a_sentence(content: bytes, folder: Path):
    (folder / "tokenizer.json").write_bytes(content)
    with pytest.raises(UserError, match=r"tokenizer\.json is damaged; .* convert again"):
        FolderTokenizer(folder)
    (folder / "tokenizer.json").unlink()
    with pytest.raises(UserError, match=r"has no tokenizer\.json; convert the model again"):
        FolderTokenizer(folder)


def test_a_conversation_runs_on_it(model, embedded_folder: Path):
    *_, answer = ChatSession(model, FolderTokenizer(embedded_folder)).stream("Name the capital of France.")
    assert "Paris" in answer.text


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("tokenizer.json", b"[" * 100_000),
        ("tokenizer_config.json", b'{"bos_token": {"id": 1}}'),
        ("tokenizer_config.json", b'{"eos_token": 2, "chat_template": 5}'),
        ("tokenizer_config.json", b'{"chat_template": ["template"]}'),
        ("tokenizer_config.json", b'{"chat_template": [{"name": "default"}]}'),
        ("chat_template.jinja", b"\xff\xfe"),
    ],
)
def test_a_file_of_another_form_is_named_as_damaged(name: str, content: bytes, tmp_path: Path):
    Tokenizer(models.BPE()).save(str(tmp_path / "tokenizer.json"))
    FolderTokenizer(tmp_path)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=f"{name} is damaged"):
        FolderTokenizer(tmp_path)
