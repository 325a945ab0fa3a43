import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import openvino_genai
import pytest
import torch
from optimum.intel import OVModelForCausalLM

import converter as door
from benchmarks.conversion import byte_tokenizer
from llm_chatbot.catalogue.row import Int4Settings, ModelConfig
from llm_chatbot.catalogue.rows import DEFAULT_MODEL, SUPPORTED_LLM_MODELS
from llm_chatbot.convert import conversion as converter
from llm_chatbot.convert import pipeline, resources
from llm_chatbot.convert.checkpoint import architectures
from llm_chatbot.convert.conversion import convert_model, int4_settings
from llm_chatbot.convert.export import calibration
from llm_chatbot.convert.export.exporter import export
from llm_chatbot.engine.precisions import EXACT
from llm_chatbot.errors import UserError
from llm_chatbot.folder.current import identity
from llm_chatbot.folder.found import converted_models
from llm_chatbot.folder.manifest import MODEL_BIN, MODEL_XML, is_complete, read_manifest, write_manifest
from llm_chatbot.folder.place import AS_IN_FILE, SUBFOLDERS, model_folder
from llm_chatbot.folder.variant import Variant
from llm_chatbot.optimum_models import ChatSession, load_model
from tests.embedded_checkpoint import read_embedded
from tests.tiny_models import tiny_model

ROOT = Path(__file__).resolve().parents[2]


TINY = ModelConfig(model_id="tiny", description="", license="", checkpoint=None, parameters=500_000)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The 16-bit IR of a tiny model."""
    folder = tmp_path_factory.mktemp("exported")
    export(tiny_model(), byte_tokenizer(), folder)
    return folder


@pytest.fixture
def tiny(exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a model in the catalogue whose 16-bit variant is there, so that a conversion takes seconds."""
    monkeypatch.setitem(SUPPORTED_LLM_MODELS, "tiny", TINY)
    fp16 = Variant("tiny", TINY, "FP16", tmp_path)
    shutil.copytree(exported, fp16.folder)
    write_manifest(fp16.folder, name="tiny", parameters=1_000_000, **identity(fp16))
    return tmp_path


def start_converting_tiny(root: Path, before: str = "") -> subprocess.Popen:
    script = (
        "import sys, time; from pathlib import Path; import config; from tests.convert import test_conversion; "
        f"config.SUPPORTED_LLM_MODELS['tiny'] = test_conversion.TINY; {before}"
        "test_conversion.convert_model('tiny', 'INT4', Path(sys.argv[1]))"
    )
    return subprocess.Popen(
        [sys.executable, "-c", script, str(root)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )


def run_cli(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, str(ROOT / "converter.py"), *arguments], capture_output=True, text=True)


@pytest.mark.parametrize("precision", ["FP16", "INT8", AS_IN_FILE])  # so small a model loses too much with NNCF's INT4
def test_a_variant_knows_the_capital_of_france_and_ends_by_itself(precision: str, models_root: Path, tokenizer):
    session = ChatSession(load_model(model_folder(DEFAULT_MODEL, precision, models_root)), tokenizer)
    *_, answer = session.stream("Name the capital of France.")
    assert "Paris" in answer.text and answer.text.endswith(".")
    assert answer.finish_reason == "stop"


@pytest.fixture(scope="module")
def genai() -> Callable:
    """Opens a folder with GenAI; the latest one is kept for the next test."""
    return lru_cache(maxsize=1)(lambda folder: openvino_genai.LLMPipeline(folder, "CPU", **EXACT))


@pytest.mark.parametrize("precision", SUBFOLDERS)
def test_optimum_and_genai_load_a_folder_as_it_stands_and_agree(
    precision: str, genai: Callable, models_root: Path, tokenizer
):
    folder = model_folder(DEFAULT_MODEL, precision, models_root)
    prompt = "The three largest cities of Italy are"
    inputs = tokenizer(prompt, return_tensors="pt")
    optimum = OVModelForCausalLM.from_pretrained(folder, ov_config=EXACT)
    ids = optimum.generate(**inputs, max_new_tokens=20, do_sample=False)[0, inputs["input_ids"].shape[1] :]
    text = genai(folder).generate(prompt, max_new_tokens=20, do_sample=False, apply_chat_template=False)
    assert text == tokenizer.decode(ids, skip_special_tokens=True)


def test_genai_uses_the_chat_template_of_the_folder(genai: Callable, embedded_folder: Path, exact_model, tokenizer):
    *_, answer = ChatSession(exact_model, tokenizer).stream("What is the capital of France?")
    found = genai(embedded_folder).generate("What is the capital of France?", max_new_tokens=30, do_sample=False)
    assert found == answer.text


def test_16_bit_logits_stay_close_to_the_checkpoint_at_every_position(models_root: Path, tokenizer):
    """Rotary frequencies that were rounded to 16 bits would make them drift apart with the length."""
    reference = read_embedded()
    ids = torch.from_numpy(np.resize(tokenizer("The quick brown fox jumps over the lazy dog. ")["input_ids"], (1, 256)))
    with torch.no_grad():
        expected = reference.float()(input_ids=ids).logits
    model = load_model(model_folder(DEFAULT_MODEL, "FP16", models_root), ov_config=EXACT)
    assert (model(input_ids=ids).logits - expected).abs().max() < 1e-3


def test_the_file_itself_is_the_default_of_a_gguf_file(embedded_folder: Path, models_root: Path, capsys):
    assert embedded_folder == model_folder(DEFAULT_MODEL, AS_IN_FILE, models_root)
    done = run_cli(DEFAULT_MODEL, "--output", str(models_root))
    assert (done.returncode, done.stdout) == (0, f"{embedded_folder}\n")


def test_fewer_bits_make_smaller_files(models_root: Path):
    sizes = [
        (model_folder(DEFAULT_MODEL, precision, models_root) / MODEL_BIN).stat().st_size
        for precision in ("FP16", "INT8", "INT4")
    ]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] / sizes[1] == pytest.approx(2, abs=0.05)


@pytest.mark.parametrize("precision", SUBFOLDERS)
def test_a_complete_folder_is_left_as_it_is(precision: str, models_root: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(converter, "_convert", None)  # can't be called
    assert is_complete(convert_model(DEFAULT_MODEL, precision, models_root))


def test_a_folder_cut_short_and_the_traces_of_a_killed_run_are_replaced(tiny: Path):
    folder = convert_model("tiny", "INT8", tiny)
    (folder / MODEL_BIN).write_bytes(b"")
    killed = folder.with_name(folder.name + ".partial")
    killed.mkdir()
    (killed / MODEL_XML).touch()
    assert is_complete(convert_model("tiny", "INT8", tiny))
    assert sorted(path.name for path in folder.parent.iterdir()) == ["FP16", "INT8_compressed_weights"]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(28, "No space left on device")])
def test_nothing_half_done_is_left_behind(error: BaseException, tiny: Path, monkeypatch: pytest.MonkeyPatch):
    def compress_and_fail(source: Path, folder: Path, compression: dict) -> None:
        (folder / MODEL_XML).touch()
        raise error

    monkeypatch.setattr(pipeline, "compress_folder", compress_and_fail)
    with pytest.raises((KeyboardInterrupt, UserError)):
        convert_model("tiny", "INT4", tiny)
    assert [path.name for path in (tiny / "tiny").iterdir()] == ["FP16"]


STOP_WHEN_COMPRESSED = (
    "compress = test_conversion.pipeline.compress_folder; test_conversion.pipeline.compress_folder = "
    "lambda *arguments: (compress(*arguments), print('compressed', flush=True), time.sleep(600)); "
)


def test_a_killed_run_leaves_nothing_complete_and_the_next_one_succeeds(tiny: Path):
    before = (tiny / "tiny" / "FP16" / "conversion.json").read_bytes()
    work = model_folder("tiny", "INT4", tiny).with_name("INT4_compressed_weights.partial")
    with start_converting_tiny(tiny, STOP_WHEN_COMPRESSED) as process:
        assert process.stdout is not None and "compressed\n" in process.stdout
        process.kill()
    assert work.is_dir()
    assert converted_models(tiny) == {"tiny": ["FP16"]}

    assert is_complete(convert_model("tiny", "INT4", tiny))
    assert sorted(path.name for path in (tiny / "tiny").iterdir()) == ["FP16", "INT4_compressed_weights"]
    assert (tiny / "tiny" / "FP16" / "conversion.json").read_bytes() == before


def test_of_two_at_once_the_second_waits_and_finds_it_done(tiny: Path, monkeypatch, capsys: pytest.CaptureFixture):
    processes: list[subprocess.Popen] = []
    compress = pipeline.compress_folder

    def compress_once_another_waits(*arguments: Any) -> None:
        second = start_converting_tiny(tiny)
        processes.append(second)
        assert second.stdout is not None
        assert "waiting for it" in second.stdout.readline()
        compress(*arguments)

    monkeypatch.setattr(pipeline, "compress_folder", compress_once_another_waits)
    convert_model("tiny", "INT4", tiny)
    (second,) = processes
    printed, _ = second.communicate()
    assert second.returncode == 0
    assert "needs about" in capsys.readouterr().out and "needs about" not in printed
    assert converted_models(tiny) == {"tiny": ["INT4", "FP16"]}


def test_other_settings_are_a_reason_to_convert_again(tiny: Path, capsys: pytest.CaptureFixture):
    folder = convert_model("tiny", "INT4", tiny)
    size = (folder / MODEL_BIN).stat().st_size
    capsys.readouterr()
    assert convert_model("tiny", "INT4", tiny, Int4Settings(ratio=1.0, awq=True)) == folder
    printed = capsys.readouterr().out
    assert "again because its settings have changed" in printed
    assert printed.index("ratio 0.8") < printed.index("→") < printed.index("ratio 1.0")
    assert read_manifest(folder)["compression"]["awq"] is True
    assert (folder / MODEL_BIN).stat().st_size < size
    convert_model("tiny", "INT4", tiny, Int4Settings(ratio=1.0, awq=True))
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(("devices", "said"), [(["CPU", "GPU"], True), (["CPU", "NPU"], False), (["NPU.0"], False)])
def test_for_an_npu_a_machine_without_one_converts_and_says_so(devices: list[str], said: bool, monkeypatch, capsys):
    monkeypatch.setattr("openvino.Core", lambda: SimpleNamespace(available_devices=devices))
    assert int4_settings(SUPPORTED_LLM_MODELS["qwen3-8b"], "npu") == Int4Settings("INT4_SYM", -1, ratio=1.0)
    assert ("no NPU" in capsys.readouterr().out) == said


def test_scale_estimation_gets_text_from_somewhere(tiny: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(calibration, "SAMPLES", 2)
    plain = (convert_model("tiny", "INT4", tiny) / MODEL_BIN).read_bytes()
    folder = convert_model("tiny", "INT4", tiny, Int4Settings(scale_estimation=True))
    assert is_complete(folder) and (folder / MODEL_BIN).read_bytes() != plain


def test_a_file_that_cannot_be_written_to_its_end_is_a_sentence(models_root: Path, tmp_path: Path):
    """OpenVINO's writer fails for real: the process may not make files over 50 MB."""
    resource = pytest.importorskip("resource", reason="Windows has no such limit")
    done = subprocess.run(
        [sys.executable, str(ROOT / "converter.py"), DEFAULT_MODEL, "--output", str(tmp_path)],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (50_000_000, 50_000_000)),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "free some disk space" in done.stderr and "Traceback" not in done.stderr
    assert not any(path.is_file() for path in tmp_path.rglob("*"))


def test_a_damaged_tokenizer_beside_the_16_bit_weights_is_a_sentence(tiny: Path):
    path = tiny / "tiny" / "FP16" / "tokenizer.json"
    path.write_bytes(b"x" * path.stat().st_size)
    with pytest.raises(UserError, match=r"tokenizer\.json is damaged; delete it"):
        convert_model("tiny", "INT4", tiny)


def test_what_is_needed_is_said_before_the_work_and_refused_where_it_cannot_fit(tiny: Path, monkeypatch, capsys):
    convert_model("tiny", "INT4", tiny)
    assert "needs about" in capsys.readouterr().out
    monkeypatch.setattr(resources, "available_memory", lambda: 700_000_000)
    with pytest.raises(UserError, match=r"0\.7 GB of memory are free .* about 1\.\d GB; close other programs"):
        convert_model("tiny", "INT8", tiny)
    usage = shutil.disk_usage(tiny)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=10_000_000))
    with pytest.raises(UserError, match=r"has 0\.0 GB of free disk space .* needs about 0\.5 GB; free some disk space"):
        convert_model(DEFAULT_MODEL, "INT4", tiny)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["no-such-model"], "smollm2-135m-instruct"),
        ([DEFAULT_MODEL, "--precision", "INT2"], "FP16, INT8, INT4, GGUF"),
        ([DEFAULT_MODEL, "--settings", "quick"], "best, fast, tutorial"),
        ([DEFAULT_MODEL, "--precision", "INT8", "--awq"], "--awq change INT4 only; leave them out"),
        ([DEFAULT_MODEL, "--speed", "3"], "Unrecognized arguments: --speed 3; see python converter.py --help"),
        (["--list", "--output", "nowhere"], "There is no folder nowhere"),
        ([], "Name a model"),
        ([DEFAULT_MODEL, "--output", __file__], "choose another folder"),
    ],
)
def test_the_command_line_says_what_is_wrong_in_one_sentence(arguments: list[str], expected: str):
    done = run_cli(*arguments)
    assert done.returncode == 2
    assert expected in done.stderr
    assert done.stderr.count("\n") == 1 and done.stderr.endswith(".\n")


def test_the_list_ends_with_its_reader():
    command = [sys.executable, str(ROOT / "converter.py"), "--list"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stderr is not None
        assert process.stdout.readline().startswith("Catalogue")
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 0


def test_the_command_line_prints_the_folder(models_root: Path):
    done = run_cli(DEFAULT_MODEL, "--precision", "INT4", "--output", str(models_root))
    assert (done.returncode, done.stdout) == (0, f"{model_folder(DEFAULT_MODEL, 'INT4', models_root)}\n")


HEAVY = ("nncf", "numpy", "optimum", "torch", "transformers")


@pytest.mark.parametrize("precision", ["INT4", AS_IN_FILE])
def test_a_folder_that_is_current_needs_no_heavy_import(precision: str, models_root: Path):
    script = f"""
import sys
import converter
status = converter.main()
assert not (loaded := {set(HEAVY)} & set(sys.modules)), loaded
sys.exit(status)
"""
    command = [sys.executable, "-c", script, DEFAULT_MODEL, "--precision", precision, "--output", str(models_root)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, f"{model_folder(DEFAULT_MODEL, precision, models_root)}\n"), (
        done.stderr
    )


def test_the_registry_of_architectures_is_part_of_the_converter():
    assert door.converters is architectures.converters
    assert {"qwen", "chatglm", "mpt"} <= door.converters.keys()
    with pytest.raises(AttributeError, match="convertors"):
        door.convertors  # noqa: B018


def test_a_list_and_what_is_known_of_a_model_are_json_for_a_program(tmp_path: Path):
    listed = run_cli("--list", "--json", "--output", str(tmp_path))
    assert DEFAULT_MODEL in [model["name"] for model in json.loads(listed.stdout)["models"]]
    known = run_cli(DEFAULT_MODEL, "--info", "--json", "--output", str(tmp_path))
    assert json.loads(known.stdout)["models"][0]["variants"][AS_IN_FILE]["weights"] > 90_000_000
    said = run_cli(DEFAULT_MODEL, "--info", "--output", str(tmp_path)).stdout
    assert "licence: Apache-2.0" in said and "to chat 0.5 GB of memory" in said
    refused = run_cli("no such model", "--info", "--json")
    assert refused.returncode == 2 and "no such model" in refused.stderr and refused.stderr.count("\n") == 1
