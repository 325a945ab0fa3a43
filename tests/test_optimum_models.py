import math
import shutil
from pathlib import Path

import pytest
import torch
from optimum.intel import OVModelForCausalLM
from transformers import GraniteMoeHybridConfig, TextIteratorStreamer

from llm_chatbot.catalogue.architectures import by_model_type
from llm_chatbot.engine.precisions import EXACT
from llm_chatbot.errors import UserError
from llm_chatbot.optimum_models import (
    ChatSession,
    OVCHATGLM2Model,
    OVMPTModel,
    OVPhi3Model,
    OVQWENModel,
    load_model,
    model_classes,
    read_pretrained_config,
)

FRANCE = "What is the capital of France?"


def final(session: ChatSession, text: str, **generation):
    *_, answer = session.stream(text, **generation)
    return answer


def test_a_loaded_model_is_optimum_intels(model):
    assert isinstance(model, OVModelForCausalLM)


def test_a_device_that_is_not_there_is_refused_with_those_that_are(embedded_folder: Path):
    for device in ("TPU", "GPU.7", "AUTO:TPU", ""):
        with pytest.raises(UserError, match=r"choose one of: .*CPU.*AUTO"):
            load_model(embedded_folder, device)


def test_what_is_not_a_model_is_refused_with_the_remedy(tmp_path: Path):
    with pytest.raises(UserError, match=r"converter\.py"):
        load_model(tmp_path / "nowhere")
    with pytest.raises(UserError, match="convert the model again"):
        load_model(tmp_path)


def test_a_damaged_graph_is_a_sentence_and_not_a_traceback(embedded_folder: Path, tmp_path: Path):
    damaged = tmp_path / "model"
    shutil.copytree(embedded_folder, damaged)
    (damaged / "conversion.json").unlink()  # a folder that Optimum Intel wrote has none
    (damaged / "openvino_model.bin").write_bytes(b"short")
    with pytest.raises(UserError, match="convert again"):
        load_model(damaged)


@pytest.mark.parametrize(
    "options",
    [
        {"do_sample": False},
        {"do_sample": False, "num_beams": 3},
        {"do_sample": True, "top_k": 5},
    ],
    ids=["greedy", "beam search", "sampling"],
)
def test_generate_gives_what_stock_optimum_gives(options: dict, exact_model, embedded_folder: Path, tokenizer):
    stock = OVModelForCausalLM.from_pretrained(embedded_folder, ov_config=EXACT)
    inputs = tokenizer([FRANCE, "Once upon a time"], return_tensors="pt", padding=True, padding_side="left")
    results = []
    for model in (stock, exact_model):
        torch.manual_seed(0)
        results.append(model.generate(**inputs, max_new_tokens=12, **options))
    assert torch.equal(*results)


def test_generate_does_not_disturb_a_conversation(exact_model, tokenizer):
    exact_session, undisturbed = ChatSession(exact_model, tokenizer), ChatSession(exact_model, tokenizer)
    for session in (undisturbed, exact_session):
        final(session, FRANCE)
    exact_model.generate(**tokenizer("Once upon a time", return_tensors="pt"), max_new_tokens=5)
    assert final(exact_session, "And of Italy?").text == final(undisturbed, "And of Italy?").text


def test_logits_are_computed_for_as_many_positions_as_are_asked_for(exact_model, embedded_folder, tokenizer):
    ids = tokenizer("The history of Rome began", return_tensors="pt")["input_ids"]
    stock = OVModelForCausalLM.from_pretrained(embedded_folder, ov_config=EXACT)(input_ids=ids).logits
    assert torch.equal(exact_model(input_ids=ids).logits, stock)
    torch.testing.assert_close(exact_model(input_ids=ids, logits_to_keep=1).logits, stock[:, -1:], atol=1e-3, rtol=0)


def test_a_model_that_was_saved_again_is_loaded_by_stock_optimum(exact_model, tmp_path, tokenizer):
    exact_model.save_pretrained(tmp_path)
    inputs = tokenizer(FRANCE, return_tensors="pt")
    saved = OVModelForCausalLM.from_pretrained(tmp_path, ov_config=EXACT)
    assert torch.equal(*(model.generate(**inputs, max_new_tokens=8, do_sample=False) for model in (saved, exact_model)))


def test_generate_takes_a_streamer(exact_model, tokenizer):
    streamer = TextIteratorStreamer(tokenizer, skip_prompt=True)
    inputs = tokenizer("One two three", return_tensors="pt")
    ids = exact_model.generate(**inputs, max_new_tokens=6, do_sample=False, streamer=streamer)
    assert "".join(streamer) == tokenizer.decode(ids[0, inputs["input_ids"].shape[1] :])


def test_rows_of_different_length_get_what_each_gets_alone(tiny_folders):
    model = load_model(tiny_folders["mpt"], ov_config=EXACT)
    options = {"max_new_tokens": 8, "min_new_tokens": 8, "do_sample": False, "pad_token_id": 0}
    ids = torch.tensor([[0, 0, 0, 5, 6, 7], [11, 12, 13, 14, 15, 16]])
    mask = torch.tensor([[0, 0, 0, 1, 1, 1], [1] * 6])
    together = model.generate(ids, attention_mask=mask, **options)[:, 6:]
    alone = [model.generate(row[None, chosen.bool()], **options)[0, -8:] for row, chosen in zip(ids, mask, strict=True)]
    assert torch.equal(together, torch.stack(alone))


@pytest.mark.parametrize(
    ("name", "model_class"),
    [("chatglm3", OVCHATGLM2Model), ("mpt", OVMPTModel), ("phi3", OVPhi3Model), ("qwen", OVQWENModel)],
)
def test_an_architecture_gets_its_class(name: str, model_class: type, tiny_folders):
    assert type(load_model(tiny_folders[name])) is model_class


def test_there_is_a_class_for_each_architecture_that_the_engine_tells_apart():
    assert model_classes.keys() == by_model_type("engine_model").keys()


@pytest.mark.parametrize("name", ["mpt", "phi3", "qwen"])
def test_generate_refuses_to_go_beyond_a_context_that_the_model_would_go_wrong_behind(name: str, tiny_folders):
    model = load_model(tiny_folders[name])
    assert model.context_length is not None
    almost_full = torch.ones((1, model.context_length - 2), dtype=torch.int64)
    with pytest.raises(UserError, match="shorten the text"):
        model.generate(almost_full, max_new_tokens=4, min_new_tokens=4)


def test_a_config_that_transformers_cannot_read_is_a_sentence(tiny_folders, tmp_path: Path):
    folder = shutil.copytree(tiny_folders["mpt"], tmp_path / "mpt")
    (folder / "config.json").write_text('{"model_type": "mpt", "n_heads": "many"}', encoding="utf-8")
    with pytest.raises(UserError, match=r"config\.json is damaged; .* convert again"):
        load_model(folder)


def test_an_infinity_in_a_configuration_is_read_as_transformers_writes_it(tmp_path: Path):
    GraniteMoeHybridConfig(layer_types=["mamba"], num_hidden_layers=1).save_pretrained(tmp_path)
    assert read_pretrained_config(tmp_path).time_step_limit == (0, math.inf)
