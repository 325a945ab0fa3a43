import json
import os
import pickle
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, GPT2Config, GPTNeoXConfig, LlamaForCausalLM
from transformers.integrations.mxfp4 import convert_moe_packed_tensors

from llm_chatbot.convert.checkpoint.architectures import read_checkpoint
from llm_chatbot.convert.checkpoint.finite import check_finite
from llm_chatbot.convert.checkpoint.weights import build_model, read_tensors, unpack_mxfp4
from llm_chatbot.errors import UserError
from tests.edited_checkpoints import (
    DATA,
    MODELS,
    as_pickle,
    change_config,
    change_tensors,
    same_weights,
    truncate,
    write_llama,
)


@pytest.fixture
def qwen(tmp_path: Path) -> Path:
    return shutil.copytree(DATA / "qwen-tiny", tmp_path / "qwen")


@pytest.fixture
def llama(tmp_path: Path) -> Path:
    return write_llama(tmp_path / "llama")


def test_a_checkpoint_of_an_architecture_that_transformers_has_is_read_from_all_its_files(llama: Path):
    assert same_weights(read_checkpoint(llama), LlamaForCausalLM.from_pretrained(llama))


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_weights_keep_their_precision_and_positions_stay_exact(name: str, dtype: torch.dtype, tmp_path: Path):
    folder = shutil.copytree(DATA / name, tmp_path / name)
    change_tensors(folder, lambda tensors: tensors.update({name: t.to(dtype) for name, t in tensors.items()}))
    model = read_checkpoint(folder)
    assert {parameter.dtype for parameter in model.parameters()} == {dtype}
    assert {buffer.dtype for buffer in model.buffers()} <= {torch.float32}


@pytest.mark.parametrize("name", MODELS)
def test_a_models_parameters_are_views_of_what_was_mapped(name: str, monkeypatch: pytest.MonkeyPatch):
    tensors = read_tensors(DATA / name)
    monkeypatch.setattr("llm_chatbot.convert.checkpoint.architectures.read_tensors", lambda folder: tensors)
    mapped = {tensor.untyped_storage().data_ptr() for tensor in tensors.values()}
    assert {weight.untyped_storage().data_ptr() for weight in read_checkpoint(DATA / name).parameters()} <= mapped


@pytest.mark.parametrize("kind", ["safetensors", "pickle"])
def test_reading_a_checkpoint_takes_no_memory_for_its_weights(kind: str, qwen: Path):
    vocabulary = 1_000_000

    def grow(tensors: dict[str, torch.Tensor]) -> None:
        for name in ("transformer.wte.weight", "lm_head.weight"):
            tensors[name] = torch.zeros(vocabulary, 64)

    change_tensors(qwen, grow)
    change_config(qwen, padded_vocab_size=vocabulary)
    if kind == "pickle":
        as_pickle(qwen)
    before = psutil.Process().memory_info().rss
    model = read_checkpoint(qwen)
    assert model.num_parameters() > 100_000_000  # 400 MB and more
    assert psutil.Process().memory_info().rss - before < 60_000_000


def test_tied_outputs_stay_tied_and_others_apart():
    tied, untied = (read_checkpoint(DATA / name) for name in ("mpt-tiny", "qwen-tiny"))
    assert tied.get_output_embeddings().weight is tied.get_input_embeddings().weight
    assert not torch.equal(untied.get_output_embeddings().weight, untied.get_input_embeddings().weight)


@pytest.mark.parametrize("head", [torch.zeros(64, 32), torch.ones(64, 32), None], ids=["zeros", "others", "none"])
def test_a_head_that_the_config_promises_to_be_tied_is_tied(head: torch.Tensor | None, llama: Path):
    model = LlamaForCausalLM.from_pretrained(llama)
    for path in llama.glob("model*"):
        path.unlink()
    tensors = {name: tensor.clone() for name, tensor in model.state_dict().items() if name != "lm_head.weight"}
    save_file(tensors | ({} if head is None else {"lm_head.weight": head}), llama / "model.safetensors")
    change_config(llama, tie_word_embeddings=True)
    read = read_checkpoint(llama)
    assert read.get_output_embeddings().weight is read.get_input_embeddings().weight
    assert torch.equal(read.get_input_embeddings().weight, model.get_input_embeddings().weight)
    if head is not None:
        change_config(llama, tie_word_embeddings=False)
        assert torch.equal(read_checkpoint(llama).get_output_embeddings().weight, head)


@pytest.mark.parametrize(
    ("config", "head", "beginning"),
    [
        (
            GPTNeoXConfig(
                vocab_size=64,
                hidden_size=32,
                num_hidden_layers=1,
                num_attention_heads=2,
                intermediate_size=64,
                tie_word_embeddings=True,
            ),
            "embed_out.weight",
            "",
        ),
        (GPT2Config(vocab_size=64, n_positions=32, n_embd=32, n_layer=1, n_head=2), "lm_head.weight", "transformer."),
    ],
    ids=["another name", "without the name of the model's part"],
)
def test_a_promised_head_is_tied_whatever_its_name_and_that_of_the_table(config, head: str, beginning: str):
    model = MODEL_FOR_CAUSAL_LM_MAPPING[type(config)](config)
    others = {name.removeprefix(beginning): tensor for name, tensor in model.state_dict().items() if name != head}
    read = build_model(Path(), config, others | {head: torch.ones(64, 32)})
    assert read.get_output_embeddings().weight is read.get_input_embeddings().weight
    assert torch.equal(read.get_input_embeddings().weight, model.get_input_embeddings().weight)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_a_weight_that_is_no_number_is_found_and_its_tensor_named(value: float, dtype: torch.dtype, qwen: Path):
    model = read_checkpoint(qwen).to(dtype)
    check_finite(model, "some model")
    with torch.no_grad():
        model.model.layers[1].mlp.down_proj.weight[-1, -1] = value
    with pytest.raises(
        UserError, match=r"some model has .* in model\.layers\.1\.mlp\.down_proj\.weight, so .*; download"
    ):
        check_finite(model, "some model")
    with torch.no_grad():
        model.model.norm.weight[0] = value
    with pytest.raises(UserError, match=r"down_proj\.weight and others \(2 tensors\), .* with --allow-non-finite\.$"):
        check_finite(model, "some model")


@pytest.mark.parametrize("new_format", [True, False], ids=["zip", "before PyTorch 1.6"])
def test_pickled_weights_are_read_too(new_format: bool, qwen: Path):
    expected = read_checkpoint(qwen)
    torch.save(
        load_file(qwen / "model.safetensors"),
        qwen / "pytorch_model.bin",
        _use_new_zipfile_serialization=new_format,
    )
    (qwen / "model.safetensors").unlink()
    assert zipfile.is_zipfile(qwen / "pytorch_model.bin") == new_format
    assert same_weights(read_checkpoint(qwen), expected)


def test_pickled_shards_are_read_by_their_index(qwen: Path):
    expected = read_checkpoint(qwen)
    tensors = load_file(qwen / "model.safetensors")
    (qwen / "model.safetensors").unlink()
    weight_map = {name: f"pytorch_model-0000{1 + n % 2}-of-00002.bin" for n, name in enumerate(tensors)}
    for shard in set(weight_map.values()):
        torch.save({name: tensors[name] for name, where in weight_map.items() if where == shard}, qwen / shard)
    (qwen / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": weight_map}), encoding="utf-8")
    assert same_weights(read_checkpoint(qwen), expected)


def test_the_checkpoints_end_tokens_are_kept_and_contradictory_settings_are_not(qwen: Path, tmp_path: Path):
    said = {"eos_token_id": [5, 6], "pad_token_id": 7, "do_sample": False, "temperature": 0.1, "chat_format": "chatml"}
    (qwen / "generation_config.json").write_text(json.dumps(said), encoding="utf-8")
    config = read_checkpoint(qwen).generation_config
    assert (config.eos_token_id, config.pad_token_id) == ([5, 6], 7)
    config.save_pretrained(tmp_path)  # Transformers refuses a temperature without sampling


# Code in pickles


class Marker:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_the_pickle_of_these_tests_is_hostile_indeed(tmp_path: Path):
    pickle.loads(pickle.dumps(Marker(tmp_path / "ran")))
    assert (tmp_path / "ran").exists()


@pytest.mark.parametrize("new_format", [True, False])
def test_a_pickle_that_runs_code_is_refused_and_does_not_run(new_format: bool, qwen: Path, tmp_path: Path):
    (qwen / "model.safetensors").unlink()
    torch.save({"x": Marker(tmp_path / "ran")}, qwen / "pytorch_model.bin", _use_new_zipfile_serialization=new_format)
    with pytest.raises(UserError, match=r"could run code; .* with model\.safetensors"):
        read_checkpoint(qwen)
    assert not (tmp_path / "ran").exists()


def test_safetensors_are_preferred_to_pickles(qwen: Path, tmp_path: Path):
    torch.save({"x": Marker(tmp_path / "ran")}, qwen / "pytorch_model.bin")
    assert same_weights(read_checkpoint(qwen), read_checkpoint(DATA / "qwen-tiny"))
    assert not (tmp_path / "ran").exists()


# What can be wrong with the files


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: truncate(folder / "model.safetensors"),
        lambda folder: (folder / "model.safetensors").write_bytes(b""),
        lambda folder: (folder / "model.safetensors").write_bytes(b"<html>Not found</html>"),
        lambda folder: truncate(as_pickle(folder)),
        lambda folder: as_pickle(folder).write_bytes(b""),
        lambda folder: as_pickle(folder).write_bytes(b"version https://git-lfs.github.com/spec/v1\n"),
        lambda folder: truncate(folder / "config.json"),
        lambda folder: (folder / "config.json").write_text("[]", encoding="utf-8"),
        lambda folder: truncate(folder / "generation_config.json"),
        lambda folder: (folder / "model.safetensors.index.json").write_text("{}", encoding="utf-8"),
    ],
    ids=[
        "truncated safetensors",
        "empty safetensors",
        "a page in place of safetensors",
        "truncated pickle",
        "empty pickle",
        "a pointer in place of a pickle",
        "truncated config",
        "another config",
        "truncated generation config",
        "empty index",
    ],
)
def test_a_damaged_file_is_named_with_the_remedy(damage: Callable[[Path], None], qwen: Path):
    damage(qwen)
    with pytest.raises(UserError, match=r"(damaged|truncated).*download the checkpoint again"):
        read_checkpoint(qwen)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda t: t.pop("transformer.h.1.attn.c_attn.bias"), r"layers\.1\.self_attn\.[kqv]_proj\.bias .*are missing"),
        (lambda t: t.pop("lm_head.weight"), r"lm_head\.weight are missing"),
        (lambda t: t.update({"transformer.h.0.mlp.c_proj.bias": torch.zeros(64)}), "do not belong"),
        (lambda t: t.update({"transformer.h.7.ln_1.weight": torch.zeros(64)}), "do not belong"),
        (lambda t: t.update({"transformer.ln_f.weight": torch.zeros(65)}), "another shape"),
        (lambda t: t.update({"transformer.h.0.attn.c_attn.weight": torch.zeros(200, 64)}), "are missing"),
    ],
)
def test_other_tensors_than_the_config_describes_are_refused_with_a_name(change, expected: str, qwen: Path):
    change_tensors(qwen, change)
    with pytest.raises(UserError, match=rf"{expected}.*download the whole checkpoint again"):
        read_checkpoint(qwen)


def test_a_missing_shard_is_named(llama: Path):
    shard = max(llama.glob("*.safetensors"))
    shard.unlink()
    with pytest.raises(UserError, match=rf"lacks {shard.name}; download"):
        read_checkpoint(llama)


def test_an_index_that_is_out_of_date_is_named_beside_a_whole_file(qwen: Path):
    index = qwen / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "model-00001-of-00001.safetensors"}}), encoding="utf-8")
    with pytest.raises(UserError, match=r"index\.json is out of date: .*model-00001-of-00001.*; delete the index"):
        read_checkpoint(qwen)
    index.unlink()
    read_checkpoint(qwen)


@pytest.mark.parametrize("name", ["weights/model-00001.safetensors", "consolidated.safetensors"])
def test_shards_have_any_name_that_the_index_gives_them(name: str, qwen: Path):
    expected = read_checkpoint(DATA / "qwen-tiny")
    (qwen / "weights").mkdir()
    tensors = load_file(qwen / "model.safetensors")
    (qwen / "model.safetensors").rename(qwen / name)
    index = {"weight_map": dict.fromkeys(tensors, name)}
    (qwen / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    assert same_weights(read_checkpoint(qwen), expected)


def test_a_folder_without_weights_is_refused_and_says_what_is_there_instead(qwen: Path):
    (qwen / "model.safetensors").unlink()
    with pytest.raises(UserError, match=r"holds no weights; download .*model\.safetensors or pytorch_model\.bin"):
        read_checkpoint(qwen)
    (qwen / "tf_model.h5").touch()
    with pytest.raises(UserError, match=r"only tf_model\.h5, which cannot be read; download"):
        read_checkpoint(qwen)


def test_mxfp4_is_unpacked_as_transformers_does():
    blocks = torch.arange(2 * 3 * 4 * 16).reshape(2, 3, 4, 16).mul(37).to(torch.uint8)  # every byte there is
    scales = torch.arange(100, 124, dtype=torch.uint8).reshape(2, 3, 4)
    others = {"a.weight": torch.ones(2), "b_blocks": blocks, "c_blocks": blocks, "c_scales": scales[:1]}
    found = unpack_mxfp4({"experts.up_blocks": blocks, "experts.up_scales": scales, **others})
    assert len(set(blocks.flatten().tolist())) == 256
    assert torch.equal(found.pop("experts.up"), convert_moe_packed_tensors(blocks, scales))
    assert found.keys() == others.keys()  # what has no scales, or others, is not touched


def test_weights_that_are_no_floating_point_numbers_are_refused(qwen: Path):
    change_tensors(qwen, lambda tensors: tensors.update({name: t.to(torch.int8) for name, t in tensors.items()}))
    with pytest.raises(UserError, match=r"type torch\.int8; choose"):
        read_checkpoint(qwen)
