import json
import os
import pickle
import shutil
import zipfile
from collections.abc import Callable
from itertools import islice
from pathlib import Path

from config import DEFAULT_MODEL, UserError, get_model_config
from conversion.architectures import read_checkpoint, read_config, read_tensors
from conversion.checkpoints import load_checkpoint
from engine.prompt import fitting_prompt
from engine.sampling import Sampling
from engine.session import stream_ids
from model_folder import SCALED_CONTEXT
from ov_llm_model import OVChatModel, load_model

import numpy as np
import psutil
import pytest
import torch
from conftest import EXACT
from safetensors.torch import load_file, save_file
from tiny_models import export
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel

DATA = Path(__file__).resolve().parents[1] / "data"
MODELS = ("chatglm3-tiny", "mpt-tiny", "qwen-tiny")
LENGTHS = (1, 7, 33, 200)


@pytest.fixture
def qwen(tmp_path: Path) -> Path:
    return shutil.copytree(DATA / "qwen-tiny", tmp_path / "qwen")


@pytest.fixture
def llama(tmp_path: Path) -> Path:
    """A checkpoint in Transformers' own format, in two files."""
    config = LlamaConfig(
        hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, vocab_size=64
    )
    LlamaForCausalLM(config).save_pretrained(tmp_path / "llama", max_shard_size="25KB")
    assert (tmp_path / "llama/model.safetensors.index.json").is_file()
    return tmp_path / "llama"


def change_config(folder: Path, **changes) -> None:
    """Changes entries of a checkpoint's config; None removes one."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8")) | changes
    config = {name: value for name, value in config.items() if value is not None}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")


def change_tensors(folder: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> None:
    tensors = {name: tensor.clone() for name, tensor in load_file(folder / "model.safetensors").items()}
    change(tensors)
    save_file(tensors, folder / "model.safetensors")


def as_pickle(folder: Path) -> Path:
    """Replaces a checkpoint's safetensors file by a pickle."""
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    return folder / "pytorch_model.bin"


def same_weights(one: PreTrainedModel, other: PreTrainedModel) -> bool:
    weights = other.state_dict()
    return all(torch.equal(tensor, weights[name]) for name, tensor in one.state_dict().items())


# What the original code computes


@pytest.fixture(scope="module", params=MODELS)
def converted(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[OVChatModel, dict]:
    """A model through the whole conversion, and what its original code computes."""
    folder = export(read_checkpoint(DATA / request.param), tmp_path_factory.mktemp("models") / request.param)
    reference = dict(np.load(DATA / request.param / "reference.npz"))
    return load_model(folder, ov_config=EXACT), reference


@pytest.mark.parametrize("length", LENGTHS)
def test_a_converted_model_computes_what_the_original_code_does(length: int, converted):
    model, reference = converted
    ids = reference[f"ids_{length}"].tolist()
    expected = reference[f"logits_{length}"]
    logits = model(input_ids=torch.tensor([ids]), logits_to_keep=4).logits[0].numpy()
    np.testing.assert_allclose(logits, expected, atol=1e-4)


@pytest.mark.parametrize("length", LENGTHS)
def test_a_converted_model_computes_the_same_token_by_token(length: int, converted):
    model, reference = converted
    expected = reference[f"step_logits_{length}"]
    cache = model.new_cache()
    logits = [cache.feed([id]).copy() for id in reference[f"ids_{length}"].tolist()]
    np.testing.assert_allclose(logits[-len(expected) :], expected, atol=1e-4)


@pytest.mark.parametrize("length", LENGTHS)
def test_a_converted_model_goes_on_as_the_original_code_does(length: int, converted):
    model, reference = converted
    ids = reference[f"ids_{length}"].tolist()
    stream = stream_ids(model.new_cache(), ids, Sampling(), stop_ids=set())
    assert list(islice(stream, 40)) == reference[f"gen_{length}"].tolist()


def test_both_layouts_of_qwens_config_give_the_same_model(qwen: Path):
    early = read_checkpoint(qwen)
    shutil.copyfile(qwen / "config.newlayout.json", qwen / "config.json")
    change_config(qwen, max_position_embeddings=6144, eos_token_id=511)  # as the other file has it, in its words
    late = read_checkpoint(qwen)
    assert late.config.to_dict() == early.config.to_dict()
    assert same_weights(early, late)


@pytest.mark.parametrize("scales", [True, False])
def test_qwens_context_goes_on_where_the_original_scales_and_ends_for_other_runtimes(scales: bool, qwen: Path):
    change_config(qwen, use_dynamic_ntk=scales)
    config = read_checkpoint(qwen).config
    assert config.max_position_embeddings == 2048
    assert getattr(config, SCALED_CONTEXT, None) == (6144 if scales else None)


def test_chatglm3_ends_an_answer_where_it_names_another_speaker(tmp_path: Path):
    folder = shutil.copytree(DATA / "chatglm3-tiny", tmp_path / "chatglm3")

    def grow(tensors: dict[str, torch.Tensor]) -> None:
        for name in ("transformer.embedding.word_embeddings.weight", "transformer.output_layer.weight"):
            tensors[name] = torch.zeros(65024, 64, dtype=torch.float16)

    change_config(folder, padded_vocab_size=65024)
    change_tensors(folder, grow)
    model = read_checkpoint(folder)
    assert model.generation_config.eos_token_id == [2, 64795, 64797]
    assert model.generation_config.pad_token_id == 0


def test_the_embedded_model_in_qwens_layout_answers_as_before(tmp_path: Path, models_root: Path, tokenizer):
    """One real conversation through the converter: grouped keys and values are repeated, and biases are zero."""
    original, _ = load_checkpoint(get_model_config(DEFAULT_MODEL))
    write_as_qwen(original, tmp_path / "qwen")
    model = load_model(export(read_checkpoint(tmp_path / "qwen"), tmp_path / "ov"), ov_config=EXACT)
    prompt, _ = fitting_prompt(tokenizer, [{"role": "user", "content": "What is the capital of France?"}], 1000)
    stop = {tokenizer.eos_token_id}
    expected = load_model(models_root / DEFAULT_MODEL / "FP16", ov_config=EXACT)
    answers = [list(islice(stream_ids(one.new_cache(), prompt, Sampling(), stop), 40)) for one in (model, expected)]
    assert answers[0] == answers[1]
    assert "Paris" in tokenizer.decode(answers[0])


def write_as_qwen(model: PreTrainedModel, folder: Path) -> None:
    """Writes a Llama in the files and names of a Qwen v1 checkpoint."""
    config, weights = model.config, model.state_dict()
    repeats, size = config.num_attention_heads // config.num_key_value_heads, config.head_dim
    tensors = {
        "transformer.wte.weight": weights["model.embed_tokens.weight"],
        "transformer.ln_f.weight": weights["model.norm.weight"],
        "lm_head.weight": weights["lm_head.weight"].clone(),
    }
    for layer in range(config.num_hidden_layers):
        old, new = f"model.layers.{layer}.", f"transformer.h.{layer}."
        groups = [weights[f"{old}self_attn.{letter}_proj.weight"].unflatten(0, (-1, size)) for letter in "kv"]
        parts = [weights[f"{old}self_attn.q_proj.weight"]]
        parts += [group.repeat_interleave(repeats, 0).flatten(0, 1) for group in groups]
        tensors[f"{new}attn.c_attn.weight"] = torch.cat(parts)
        tensors[f"{new}attn.c_attn.bias"] = torch.zeros(3 * config.hidden_size, dtype=torch.float16)
        for old_name, new_name in (
            ("self_attn.o_proj", "attn.c_proj"),
            ("mlp.gate_proj", "mlp.w2"),
            ("mlp.up_proj", "mlp.w1"),
            ("mlp.down_proj", "mlp.c_proj"),
            ("input_layernorm", "ln_1"),
            ("post_attention_layernorm", "ln_2"),
        ):
            tensors[f"{new}{new_name}.weight"] = weights[f"{old}{old_name}.weight"]
    folder.mkdir()
    save_file(tensors, folder / "model.safetensors")
    facts = {
        "model_type": "qwen",
        "hidden_size": config.hidden_size,
        "num_hidden_layers": config.num_hidden_layers,
        "num_attention_heads": config.num_attention_heads,
        "intermediate_size": 2 * config.intermediate_size,
        "kv_channels": size,
        "layer_norm_epsilon": config.rms_norm_eps,
        "rotary_emb_base": config.rope_parameters["rope_theta"],
        "seq_length": config.max_position_embeddings,
        "vocab_size": config.vocab_size,
        "tie_word_embeddings": False,
    }
    (folder / "config.json").write_text(json.dumps(facts), encoding="utf-8")


# Weights


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
    monkeypatch.setattr("conversion.architectures.read_tensors", lambda folder: tensors)
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


def test_a_qwen_with_tied_outputs_needs_no_output_layer(qwen: Path):
    change_config(qwen, tie_word_embeddings=True)
    change_tensors(qwen, lambda tensors: tensors.pop("lm_head.weight"))
    model = read_checkpoint(qwen)
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight


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


# Generation


def test_the_checkpoints_end_tokens_are_kept_and_contradictory_settings_are_not(qwen: Path, tmp_path: Path):
    said = {"eos_token_id": [5, 6], "pad_token_id": 7, "do_sample": False, "temperature": 0.1, "chat_format": "chatml"}
    (qwen / "generation_config.json").write_text(json.dumps(said), encoding="utf-8")
    config = read_checkpoint(qwen).generation_config
    assert (config.eos_token_id, config.pad_token_id) == ([5, 6], 7)
    config.save_pretrained(tmp_path)  # Transformers refuses a temperature without sampling


# Code that comes with a checkpoint


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


@pytest.mark.parametrize("name", [*MODELS, "llama"])
def test_python_files_of_a_checkpoint_are_never_run(name: str, tmp_path: Path, llama: Path):
    folder = llama if name == "llama" else shutil.copytree(DATA / name, tmp_path / name)
    ran = tmp_path / "ran"
    for module in ("modeling_hostile", "configuration_hostile", "tokenization_hostile"):
        (folder / f"{module}.py").write_text(f"open({str(ran)!r}, 'w')\n", encoding="utf-8")
    auto_map = {
        "AutoConfig": "configuration_hostile.Config",
        "AutoModelForCausalLM": "modeling_hostile.Model",
        "AutoTokenizer": ["tokenization_hostile.Tokenizer", None],
    }
    change_config(folder, auto_map=auto_map)
    (folder / "tokenizer_config.json").write_text(json.dumps({"auto_map": auto_map}), encoding="utf-8")
    (folder / "generation_config.json").write_text(json.dumps({"custom_generate": "modeling_hostile"}), "utf-8")
    converted = export(read_checkpoint(folder), tmp_path / "converted")
    load_model(converted)
    assert not ran.exists()
    assert "hostile" not in "".join(path.read_text(encoding="utf-8") for path in converted.glob("*.json"))


# What can be wrong with a folder


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


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
    with pytest.raises(UserError, match=r"(damaged|cut short).*download the checkpoint again"):
        read_checkpoint(qwen)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda t: t.pop("transformer.h.1.attn.c_attn.bias"), r"layers\.1\.self_attn\.[kqv]_proj\.bias .*are missing"),
        (lambda t: t.pop("lm_head.weight"), r"lm_head\.weight are missing"),
        (lambda t: t.update({"transformer.h.0.mlp.c_proj.bias": torch.zeros(64)}), "have no place"),
        (lambda t: t.update({"transformer.h.7.ln_1.weight": torch.zeros(64)}), "have no place"),
        (lambda t: t.update({"transformer.ln_f.weight": torch.zeros(65)}), "another shape"),
        (lambda t: t.update({"transformer.h.0.attn.c_attn.weight": torch.zeros(200, 64)}), "are missing"),
    ],
)
def test_other_tensors_than_the_config_describes_are_refused_with_a_name(change, expected: str, qwen: Path):
    change_tensors(qwen, change)
    with pytest.raises(UserError, match=rf"{expected}.*download the whole checkpoint again"):
        read_checkpoint(qwen)


@pytest.mark.parametrize("key", ["hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads"])
def test_a_config_of_transformers_without_a_key_is_refused(key: str, llama: Path):
    change_config(llama, **{key: None})
    with pytest.raises(UserError, match=r"download the (whole )?checkpoint again"):
        read_checkpoint(llama)


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("qwen-tiny", ["n_embd", "n_layer", "n_head", "ffn_hidden_size", "seq_length"]),
        ("chatglm3-tiny", ["hidden_size", "num_layers", "kv_channels", "ffn_hidden_size", "padded_vocab_size"]),
        ("mpt-tiny", ["d_model", "n_heads", "n_layers", "max_seq_len", "vocab_size"]),
    ],
)
def test_a_config_without_a_key_is_refused_and_says_which(name: str, keys: list[str], tmp_path: Path):
    for key in keys:
        folder = shutil.copytree(DATA / name, tmp_path / key)
        change_config(folder, **{key: None})
        with pytest.raises(UserError, match=r"does not say \w+; download the checkpoint again"):
            read_checkpoint(folder)


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("qwen-tiny", {"rotary_pct": 0.5}),
        ("chatglm3-tiny", {"add_bias_linear": True}),
        ("chatglm3-tiny", {"rmsnorm": False}),
        ("mpt-tiny", {"attn_config": {"alibi": False}}),
        ("mpt-tiny", {"attn_config": {"clip_qkv": 6}}),
        ("mpt-tiny", {"logit_scale": "inv_sqrt_d_model"}),
    ],
)
def test_a_switch_that_would_be_passed_over_is_refused(name: str, changes: dict, tmp_path: Path):
    folder = shutil.copytree(DATA / name, tmp_path / name)
    change_config(folder, **changes)
    with pytest.raises(UserError, match=r"not supported \(.*\); choose another model"):
        read_checkpoint(folder)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"model_type": None}, "has no model_type"),
        ({"model_type": "moonshot"}, "'moonshot', which neither Transformers nor this project can read"),
        ({"model_type": "bert"}, "'bert' for chat; choose a model of another kind"),
        ({"model_type": "mamba"}, "'mamba' with Transformers .*; choose a model of another kind"),
        ({"quantization_config": {"quant_method": "gptq"}}, r"compressed already \(gptq\)"),
        ({"hidden_size": "large"}, "config.json can't be used .*; download the checkpoint again"),
    ],
)
def test_a_model_that_cannot_be_converted_is_refused_before_the_weights_are_read(
    changes: dict, expected: str, llama: Path
):
    change_config(llama, **changes)
    for path in llama.glob("*.safetensors"):
        path.unlink()
    with pytest.raises(UserError, match=expected):
        read_checkpoint(llama)


def test_a_missing_shard_is_named(llama: Path):
    shard = max(llama.glob("*.safetensors"))
    shard.unlink()
    with pytest.raises(UserError, match=rf"lacks {shard.name}; download"):
        read_checkpoint(llama)


def test_a_folder_without_weights_is_refused_and_says_what_is_there_instead(qwen: Path):
    (qwen / "model.safetensors").unlink()
    with pytest.raises(UserError, match=r"holds no weights; download .*model\.safetensors or pytorch_model\.bin"):
        read_checkpoint(qwen)
    (qwen / "tf_model.h5").touch()
    with pytest.raises(UserError, match=r"only tf_model\.h5, which can't be read here; download"):
        read_checkpoint(qwen)


def test_a_folder_without_a_config_is_refused(tmp_path: Path):
    with pytest.raises(UserError, match=r"There is no .*config\.json; name the folder"):
        read_config(tmp_path)


def test_weights_that_are_no_floating_point_numbers_are_refused(qwen: Path):
    change_tensors(qwen, lambda tensors: tensors.update({name: t.to(torch.int8) for name, t in tensors.items()}))
    with pytest.raises(UserError, match=r"type torch\.int8; choose"):
        read_checkpoint(qwen)
