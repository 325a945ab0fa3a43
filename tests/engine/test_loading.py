import shutil
from pathlib import Path
from types import SimpleNamespace

import nncf
import numpy as np
import openvino as ov
import openvino.opset13 as ops
import pytest
import torch
from openvino.op import assign, read_value
from openvino.op.util import Variable, VariableInfo
from transformers import LlamaConfig, LlamaForCausalLM

from benchmarks.conversion import byte_tokenizer
from llm_chatbot.convert.pipeline import copy_side_files
from llm_chatbot.engine.decode.draft_model import DraftLength
from llm_chatbot.engine.files import FolderFiles
from llm_chatbot.engine.loading import ChatGLMModel, MPTModel, Phi3Model, open_model
from llm_chatbot.engine.precisions import EXACT
from llm_chatbot.engine.qwen import QwenModel
from llm_chatbot.engine.session import ChatSession
from llm_chatbot.errors import UserError
from llm_chatbot.folder.manifest import MODEL_XML
from tests.tiny_models import DATA, export, tiny_model


@pytest.mark.parametrize(
    ("name", "model_class", "context_length"),
    [
        ("chatglm3", ChatGLMModel, 8192),
        ("mpt", MPTModel, 2048),
        ("phi3", Phi3Model, 64),
        ("qwen", QwenModel, 6144),
    ],
)
def test_an_architecture_gets_its_class_and_context(name: str, model_class: type, context_length: int, tiny_folders):
    model = open_model(tiny_folders[name])
    assert type(model) is model_class
    assert model.context_length == context_length


@pytest.mark.parametrize("name", ["mpt", "phi3", "qwen"])
def test_a_model_that_would_go_wrong_beyond_its_context_refuses(name: str, tiny_folders):
    model = open_model(tiny_folders[name])
    cache, length = model.new_cache(), model.context_length
    assert length is not None
    cache.feed([1] * (length - 1))
    cache.feed([2])
    with pytest.raises(UserError, match=f"{length + 1} tokens are more than the {length} that this model can read"):
        cache.feed([3])


def with_tokens_first(graph: ov.Model) -> ov.Model:
    """Keeps the state as [tokens, batch, groups, size], as Optimum Intel exported ChatGLM's original code."""
    there, back = ops.constant([2, 0, 1, 3]), ops.constant([1, 2, 0, 3])
    variables = graph.get_variables()
    for sink in graph.get_sinks():
        name = sink.get_attributes()["variable_id"]
        read = next(op for op in graph.get_ops() if op.get_attributes().get("variable_id") == name and op != sink)
        shape = read.get_output_partial_shape(0)
        info = VariableInfo()
        info.variable_id, info.data_type = f"{name}.first", read.get_element_type()
        info.data_shape = ov.PartialShape([shape[2], shape[0], shape[1], shape[3]])
        variable = Variable(info)
        graph.add_variables([variable])
        users = read.output(0).get_target_inputs()
        restored = ops.transpose(read_value(ops.transpose(read.input_value(0), there), variable), back)
        for user in users:
            user.replace_source_output(restored.output(0))
        graph.add_sinks([assign(ops.transpose(sink.input_value(0), there), variable)])
        graph.remove_sink(sink)
    for variable in variables:
        graph.remove_variable(variable)
    graph.validate_nodes_and_infer_types()
    return graph


def test_a_chatglm_that_an_older_optimum_exported_is_cut_back_along_its_tokens(tiny_folders, tmp_path: Path):
    folder = shutil.copytree(tiny_folders["chatglm3"], tmp_path / "old", ignore=shutil.ignore_patterns("model_cache"))
    graph = with_tokens_first(ov.Core().read_model(tiny_folders["chatglm3"] / "openvino_model.xml"))
    ov.save_model(graph, folder / "openvino_model.xml", compress_to_fp16=False)
    shutil.copyfile(DATA / "chatglm3-tiny/config.json", folder / "config.json")  # with its auto_map
    old, new = open_model(folder, ov_config=EXACT), open_model(tiny_folders["chatglm3"], ov_config=EXACT)
    assert type(old) is ChatGLMModel
    assert old.context_length == 8192
    cut, fresh = old.new_cache(), new.new_cache()
    cut.feed([5, 6, 7, 8, 9])
    assert cut.trim_to_prefix([5, 6, 7, 1]) == 3
    np.testing.assert_allclose(cut.feed([1, 2]), fresh.feed([5, 6, 7, 1, 2]), atol=1e-4)


def test_a_folder_whose_config_is_damaged_is_refused(tiny_folders, tmp_path: Path):
    folder = shutil.copytree(tiny_folders["mpt"], tmp_path / "mpt")
    for text in ("{", "[]", "{}", '{"model_type": 7}'):
        (folder / "config.json").write_text(text, encoding="utf-8")
        with pytest.raises(UserError, match=r"config\.json is damaged; .* convert again"):
            open_model(folder)


def test_a_conversation_fits_in_a_pool_smaller_than_the_context(tmp_path: Path):
    """The oldest turns are left out as where the context is full; a message longer than the pool changes nothing."""
    model = open_model(export(tiny_model(), tmp_path), kv_cache_gb=4e-5)
    room = model.context_length
    assert room is not None and model.trained_context is not None and 32 < room < 256 < model.trained_context
    tokenizer = byte_tokenizer()
    tokenizer.chat_template = "{% for m in messages %}{{ m.content }}{% endfor %}"
    session = ChatSession(model, tokenizer)
    dropped = []
    for n in range(room // 8):
        *_, answer = session.stream(f"Message {n:02}", max_new_tokens=8)
        assert answer.prompt_tokens + answer.completion_tokens <= room
        dropped.append(answer.dropped_turns)
        with pytest.raises(UserError, match="too long"):
            list(session.stream("x" * 2 * room))
    assert dropped[0] == 0 and dropped[-1] > 0


def test_keys_and_values_in_8_bits_take_less_memory(tmp_path: Path):
    folder, blocks = export(tiny_model(), tmp_path), {}
    for precision in ("f16", "u8"):
        paged = open_model(folder, kv_cache_precision=precision, kv_cache_gb=1e-3).paged
        assert paged is not None
        blocks[precision] = paged.pool.blocks
    assert blocks["u8"] > blocks["f16"]


def test_an_unknown_precision_of_keys_and_values_is_refused(tmp_path: Path):
    with pytest.raises(UserError, match="auto, u8, f16"):
        open_model(export(tiny_model(), tmp_path), kv_cache_precision="f8")


@pytest.fixture(scope="module")
def odd_sized(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with 4-bit weights in groups of 48, as NNCF makes it if it is asked to."""
    torch.manual_seed(0)
    sizes = {"hidden_size": 192, "intermediate_size": 384, "num_hidden_layers": 2, "num_attention_heads": 4}
    folder = export(LlamaForCausalLM(LlamaConfig(vocab_size=401, **sizes)), tmp_path_factory.mktemp("made"))
    graph = nncf.compress_weights(
        ov.Core().read_model(folder / MODEL_XML),
        mode=nncf.CompressWeightsMode.INT4_ASYM,
        group_size=48,
        ratio=1.0,
        all_layers=True,
    )
    compressed = tmp_path_factory.mktemp("compressed")
    copy_side_files(folder, compressed)
    ov.save_model(graph, compressed / MODEL_XML, compress_to_fp16=False)
    return compressed


@pytest.mark.parametrize("paged", [True, False])
def test_groups_that_a_cpu_multiplies_wrongly_are_computed_rightly_token_by_token(paged: bool, odd_sized: Path):
    ids = list(range(7, 19))
    model = open_model(odd_sized, ov_config=EXACT, paged=paged)
    whole = model.new_cache().feed(ids).copy()
    cache = model.new_cache()
    for id in ids:
        one_by_one = cache.feed([id])
    assert np.abs(one_by_one - whole).max() < 0.02 * np.abs(whole).max()


def test_a_draft_model_with_other_tokens_is_refused(embedded_folder: Path):
    other = SimpleNamespace(path=Path("other.gguf"), tokenizer=byte_tokenizer())
    with pytest.raises(UserError, match=r"^other.gguf can't draft for .*, because it has other tokens; choose a"):
        open_model(embedded_folder, draft=other)  # type: ignore[arg-type]


def test_a_draft_model_needs_a_pool(tmp_path: Path):
    folder = export(tiny_model(), tmp_path)
    tokenizer = byte_tokenizer()
    files = FolderFiles(folder)
    shared = SimpleNamespace(**vars(files), tokenizer=tokenizer, read_graph=files.read_graph, map_graph=files.map_graph)
    shared.compile_cache = dict
    with pytest.raises(UserError, match="needs the shared KV cache"):
        open_model(shared, paged=False, draft=shared)


def test_a_real_models_answers_are_those_without_the_draft_model(
    embedded_folder: Path, exact_model, tokenizer, monkeypatch: pytest.MonkeyPatch
):
    """The embedded model drafts for itself, with its own rounding where it drafts."""
    monkeypatch.setattr(DraftLength, "next_count", lambda self, price: 4)
    engine = exact_model.engine
    question = "Write a sentence about the sea."
    plain = list(ChatSession(engine, tokenizer).stream(question, max_new_tokens=40))[-1]
    monkeypatch.setattr(engine, "draft", open_model(embedded_folder))
    session = ChatSession(engine, tokenizer)
    drafted = list(session.stream(question, max_new_tokens=40))[-1]
    assert drafted.text == plain.text and plain.drafted_tokens == 0
    assert drafted.accepted_tokens > 0.6 * drafted.drafted_tokens > 0
    again = list(session.stream("And about the wind.", max_new_tokens=20))[-1]
    assert again.drafted_tokens and again.cached_tokens > 40
    assert engine.paged.pool.inconsistency() is None and engine.draft.paged.pool.inconsistency() is None
