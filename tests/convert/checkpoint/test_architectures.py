import json
import shutil
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from transformers import (
    Gemma3ForConditionalGeneration,
    GptOssForCausalLM,
    GraniteMoeHybridConfig,
    GraniteMoeHybridForCausalLM,
    PreTrainedModel,
)

from llm_chatbot.convert.checkpoint.architectures import read_checkpoint, read_checkpoint_config
from llm_chatbot.engine.decode.generation import stream_ids
from llm_chatbot.engine.decode.sampling import Sampling
from llm_chatbot.engine.precisions import EXACT
from llm_chatbot.errors import UserError
from llm_chatbot.folder.manifest import SCALED_CONTEXT
from llm_chatbot.optimum_models import OVChatModel, load_model
from tests import small_modern_checkpoints
from tests.edited_checkpoints import DATA, MODELS, change_config, change_tensors, same_weights, write_llama
from tests.embedded_checkpoint import read_embedded
from tests.tiny_models import export

LENGTHS = (1, 7, 33, 200)


@pytest.fixture
def qwen(tmp_path: Path) -> Path:
    return shutil.copytree(DATA / "qwen-tiny", tmp_path / "qwen")


@pytest.fixture
def llama(tmp_path: Path) -> Path:
    return write_llama(tmp_path / "llama")


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


def test_real_weights_in_qwens_layout_say_what_they_said_before(tmp_path: Path):
    """Four layers of the embedded model. Grouped keys and values are repeated, and biases are zero."""
    llama = read_embedded()
    llama.config.num_hidden_layers = 4
    del llama.model.layers[4:]
    write_as_qwen(llama, tmp_path / "qwen")
    model = load_model(export(read_checkpoint(tmp_path / "qwen"), tmp_path / "ov"), ov_config=EXACT)
    ids = torch.arange(1000, 1200)[None]
    with torch.no_grad():
        expected = llama.float()(input_ids=ids).logits
    assert (model(input_ids=ids).logits - expected).abs().max() < 1e-3
    assert expected.std() > 1


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


def test_a_qwen_with_tied_outputs_needs_no_output_layer(qwen: Path):
    change_config(qwen, tie_word_embeddings=True)
    change_tensors(qwen, lambda tensors: tensors.pop("lm_head.weight"))
    model = read_checkpoint(qwen)
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight


# Code that comes with a checkpoint


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
        with pytest.raises(UserError, match=r"lacks \w+; download the checkpoint again"):
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
        ({"model_type": "bert"}, "'bert' for chat; choose a model of another type"),
        ({"model_type": "mamba"}, "'mamba' with Transformers .*; choose a model of another type"),
        ({"quantization_config": {"quant_method": "quip"}}, r"quantized already, .*\(.quip.\)"),
        ({"hidden_size": "large"}, "config.json is invalid .*; download the checkpoint again"),
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


def test_a_folder_without_a_config_is_refused(tmp_path: Path):
    with pytest.raises(UserError, match=r"config\.json is missing; name a complete checkpoint"):
        read_checkpoint_config(tmp_path)


@pytest.mark.parametrize(
    ("name", "original_class"),
    [
        ("gemma-3-4b-it", Gemma3ForConditionalGeneration),
        ("granite-4.0-micro", GraniteMoeHybridForCausalLM),
        ("gpt-oss-20b", GptOssForCausalLM),
    ],
)
def test_a_model_read_as_another_architecture_computes_the_same(name: str, original_class: Any, tmp_path: Path):
    folder = small_modern_checkpoints.write(name, tmp_path)
    ids = torch.arange(3, 60)[None]
    with torch.no_grad():
        original = original_class.from_pretrained(folder, dtype=torch.float32).float()  # it unpacks MXFP4 to 16 bits
        expected = original(input_ids=ids, use_cache=False).logits
        found = read_checkpoint(folder).float()(input_ids=ids).logits
    assert expected.std() > 1e-3
    torch.testing.assert_close(found, expected, atol=1e-3 * float(expected.abs().max()), rtol=0)


@pytest.mark.parametrize("place", ["whole", "text"])
def test_the_own_head_of_a_model_that_reads_images_is_kept_where_it_says_so(place: str, tmp_path: Path):
    folder = small_modern_checkpoints.write("gemma-3-4b-it", tmp_path)
    index = json.loads((folder / "model.safetensors.index.json").read_text(encoding="utf-8"))
    head = torch.randn(small_modern_checkpoints.VOCABULARY, small_modern_checkpoints.HIDDEN).bfloat16()
    save_file({"language_model.lm_head.weight": head}, folder / "head.safetensors")
    index["weight_map"]["language_model.lm_head.weight"] = "head.safetensors"
    (folder / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    table = read_checkpoint(folder).lm_head.weight
    assert not torch.equal(table, head), "the settings promise the embeddings"
    text = {**read_checkpoint_config(folder)["text_config"], "tie_word_embeddings": place != "text"}
    change_config(folder, text_config=text, tie_word_embeddings=place != "whole")
    assert torch.equal(read_checkpoint(folder).lm_head.weight, head)


def test_a_granite_with_mamba_layers_is_read_as_it_is(tmp_path: Path):
    small_modern_checkpoints.granite4(tmp_path, "mamba", "attention", "mamba")
    ids = torch.arange(3, 60)[None]
    config = GraniteMoeHybridConfig.from_pretrained(tmp_path, time_step_limit=(0.0, float("inf")))
    with torch.no_grad():
        original = GraniteMoeHybridForCausalLM.from_pretrained(tmp_path, config=config, dtype=torch.float32)
        expected = original(input_ids=ids, use_cache=False).logits
        found = read_checkpoint(tmp_path).float()(input_ids=ids, use_cache=False).logits
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"num_local_experts": 8}, "experts and no Mamba layers, .*; choose a Granite"),
        ({"position_embedding_type": "nope"}, "position_embedding_type"),
    ],
)
def test_a_granite_that_is_not_dense_is_refused(changes: dict, sentence: str, tmp_path: Path):
    folder = small_modern_checkpoints.write("granite-4.0-micro", tmp_path)
    change_config(folder, **changes)
    with pytest.raises(UserError, match=sentence):
        read_checkpoint(folder)
