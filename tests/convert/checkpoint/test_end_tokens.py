"""Which tokens end an answer of a checkpoint, and what else is read of its small files."""

import json
from pathlib import Path

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from llm_chatbot.catalogue.row import ModelConfig
from llm_chatbot.convert.checkpoint.checkpoints import load_checkpoint
from llm_chatbot.errors import UserError
from tests.edited_checkpoints import write_llama

# Their ids are 0 to 9.
SPECIAL = (
    "<unk>",
    "<s>",
    "</s>",
    "<end_of_turn>",
    "<start_of_turn>",
    "<|turn_end|>",
    "<|end|>",
    "<|call|>",
    "<|return|>",
)
HTML = "<eos>"  # an added token that is text, as Gemma's tags are
TURNS = "{% for m in messages %}<start_of_turn>{{ m.role }}\n{{ m.content }}END\n{% endfor %}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = write_llama(tmp_path / "llama")
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())[:50]
    vocabulary = {token: id for id, token in enumerate([*SPECIAL, HTML, *alphabet])}
    tokenizer = Tokenizer(models.BPE(vocabulary, [], unk_token="<unk>"))
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.ByteLevel(), decoders.ByteLevel()
    tokenizer.add_special_tokens(list(SPECIAL))
    tokenizer.add_tokens([AddedToken(HTML, special=False, normalized=False)])
    tokenizer.save(str(folder / "tokenizer.json"))
    settle(folder)
    return folder


def settle(folder: Path, template: str = TURNS.replace("END", "</s>"), eos: str = "</s>", said: object = 2) -> None:
    """Writes a checkpoint's settings. `said` is the EOS of `generation_config.json`; None: there is no such file."""
    settings = {"bos_token": "<s>", "eos_token": eos, "unk_token": "<unk>", "chat_template": template}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    path = folder / "generation_config.json"
    path.unlink(missing_ok=True)
    if said is not None:
        path.write_text(json.dumps({"eos_token_id": said}), encoding="utf-8")


def ends(folder: Path) -> list[str]:
    model, tokenizer = load_checkpoint(ModelConfig("some model", "", "", checkpoint=folder))
    return tokenizer.convert_ids_to_tokens(model.generation_config.eos_token_id)


@pytest.mark.parametrize("eos", ["</s>", "<end_of_turn>"])
@pytest.mark.parametrize("said", [None, 2, [2], 3])
def test_the_end_of_a_turn_ends_an_answer_whatever_the_settings_say(said: object, eos: str, folder: Path):
    settle(folder, TURNS.replace("END", "<end_of_turn>"), eos, said)
    assert {"</s>", "<end_of_turn>"} <= set(ends(folder))


@pytest.mark.parametrize("end", ["<|turn_end|>", " <|turn_end|>", "\n<|turn_end|>"])
def test_a_token_that_the_template_writes_after_an_answer_ends_it(end: str, folder: Path):
    settle(folder, TURNS.replace("END", end))
    assert "<|turn_end|>" in ends(folder)
    settle(folder, TURNS.replace("END", ""))
    assert "<|turn_end|>" not in ends(folder)


def test_an_answer_goes_on_after_a_token_that_ends_a_part_of_it(folder: Path):
    settle(folder, TURNS.replace("END", "<|end|>"))
    assert "<|end|>" not in ends(folder) and {"<|call|>", "<|return|>"} <= set(ends(folder))
    settle(folder, TURNS.replace("END", "<|end|>"), said=[2, SPECIAL.index("<|end|>")])
    assert "<|end|>" in ends(folder)


def test_a_token_that_is_text_ends_nothing_unless_the_template_has_it(folder: Path):
    assert HTML not in ends(folder)
    settle(folder, TURNS.replace("END", HTML))
    assert HTML in ends(folder)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("tokenizer_config.json", b""),
        ("tokenizer_config.json", b"{"),
        ("tokenizer_config.json", b"[]"),
        ("tokenizer_config.json", b'{"chat_template": 5}'),
        ("tokenizer_config.json", b'{"chat_template": [5]}'),
        ("tokenizer_config.json", b'{"bos_token": 5}'),
        ("tokenizer_config.json", b'{"bos_token": {"id": 1}}'),
        ("tokenizer_config.json", b'{"added_tokens_decoder": {"x": 1}}'),
        ("special_tokens_map.json", b""),
        ("special_tokens_map.json", b"[1]"),
        ("added_tokens.json", b"\xff"),
        ("chat_template.jinja", b""),
        ("chat_template.jinja", b" \n"),
        ("chat_template.jinja", b"\xff\xfe"),
        ("chat_template.json", b""),
        ("generation_config.json", b""),
        ("generation_config.json", b'{"eos_token_id": "</s>"}'),
        ("generation_config.json", b'{"eos_token_id": [2, null]}'),
        ("generation_config.json", b'{"eos_token_id": -1}'),
        ("tokenizer.json", b""),
        ("config.json", b""),
        ("model.safetensors.index.json", b""),
    ],
)
def test_a_damaged_small_file_is_a_sentence(name: str, content: bytes, folder: Path):
    (folder / name).write_bytes(content)
    with pytest.raises(UserError, match=r"(tokenizer_config|chat_template|\b[a-z_.]+)\.j(son|inja) is damaged; "):
        ends(folder)


def test_a_model_that_cannot_chat_is_said_so(folder: Path, capsys: pytest.CaptureFixture):
    ends(folder)
    assert "chat" not in capsys.readouterr().out
    settle(folder, "{% for m in messages %}<start_of_turn>{{ m.role }}{% endfor %}")
    ends(folder)
    assert "some model can't chat: its chat template leaves out what is said." in capsys.readouterr().out
    settle(folder, "")
    ends(folder)
    assert "some model can't chat: it has no chat template." in capsys.readouterr().out


@pytest.mark.parametrize("place", ["settings", "files"])
def test_several_templates_are_kept(place: str, folder: Path, tmp_path: Path):
    both = {"default": TURNS.replace("END", "</s>"), "tool_use": "{{ tools }}" + TURNS.replace("END", "<|turn_end|>")}
    if place == "settings":
        settings = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
        settings["chat_template"] = [{"name": name, "template": text} for name, text in both.items()]
        (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    else:
        (folder / "chat_template.jinja").write_text(both["default"], encoding="utf-8")
        (folder / "additional_chat_templates").mkdir()
        (folder / "additional_chat_templates" / "tool_use.jinja").write_text(both["tool_use"], encoding="utf-8")
    model, tokenizer = load_checkpoint(ModelConfig("some model", "", "", checkpoint=folder))
    assert tokenizer.chat_template == both
    assert SPECIAL.index("<|turn_end|>") in model.generation_config.eos_token_id
