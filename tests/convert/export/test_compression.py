import re
import sys
from pathlib import Path
from typing import Any

import nncf
import openvino as ov
import pytest

from benchmarks.conversion import byte_tokenizer, make_checkpoint, sample
from llm_chatbot.convert.export import compression
from llm_chatbot.convert.export.compression import compress_and_save
from llm_chatbot.convert.export.exporter import export
from llm_chatbot.folder.manifest import MODEL_XML
from tests.tiny_models import tiny_model

ROOT = Path(__file__).resolve().parents[3]

SETTINGS = [
    {"mode": "INT8_ASYM"},
    {"mode": "INT4_SYM", "group_size": 64, "ratio": 0.6},
    {"mode": "INT4_SYM", "group_size": 128, "ratio": 1.0},
    {"mode": "INT4_ASYM", "group_size": 32, "ratio": 0.8},
    {"mode": "INT4_ASYM", "group_size": 128, "ratio": 0.5},  # one zero point, half a byte, for a row
    {"mode": "INT4_ASYM", "group_size": 64, "ratio": 0.6, "awq": True},
]


@pytest.fixture(scope="module", params=[False, True], ids=["untied", "tied"])
def ir(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The IR of a tiny model, with 16-bit weights."""
    folder = tmp_path_factory.mktemp("ir")
    export(tiny_model(request.param), byte_tokenizer(), folder)
    return folder / MODEL_XML


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch):
    """Makes a tiny weight several blocks, and its constants big enough for the file."""
    monkeypatch.setattr(compression, "BLOCK_WEIGHTS", 20_000)
    monkeypatch.setattr(compression, "MAPPED_BYTES", 500)


def read(xml: Path) -> ov.Model:
    return ov.Core().read_model(xml)


def arguments(settings: dict) -> dict:
    return {**settings, "mode": nncf.CompressWeightsMode[settings["mode"]]}


def description(xml: Path) -> str:
    """The .xml without the numbers that OpenVINO counts up for unnamed nodes in all of a process."""
    return re.sub(r'(?<=name=")(\w+?)_\d+"', r'\1"', xml.read_text(encoding="utf-8"))


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda settings: "-".join(map(str, settings.values())))
def test_the_result_is_that_of_nncf_to_the_byte(settings: dict, ir: Path, tmp_path: Path):
    lean, stock = tmp_path / "lean.xml", tmp_path / "stock.xml"
    ov.save_model(nncf.compress_weights(read(ir), **arguments(settings)), stock, compress_to_fp16=False)
    compress_and_save(read(ir), lean, **arguments(settings))
    assert lean.with_suffix(".bin").read_bytes() == stock.with_suffix(".bin").read_bytes()
    assert description(lean) == description(stock)


def test_weights_do_go_through_in_blocks_and_into_the_file(ir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Else the test above would prove nothing."""
    blocks: list[int] = []
    mapped: list[int] = []
    join, memmap = compression._Joined.add, compression.np.memmap

    def counting_join(self: compression._Joined, part: Any) -> None:
        blocks.append(part.size if part is not None else 0)
        join(self, part)

    def counting_memmap(*args: Any, **options: Any) -> Any:
        mapped.append(options["shape"])
        return memmap(*args, **options)

    monkeypatch.setattr(compression._Joined, "add", counting_join)
    monkeypatch.setattr(compression.np, "memmap", counting_memmap)
    compress_and_save(read(ir), tmp_path / MODEL_XML, mode=nncf.CompressWeightsMode.INT8_ASYM)
    assert max(blocks) <= compression.BLOCK_WEIGHTS
    assert sum(mapped) > 0.9 * (tmp_path / MODEL_XML).with_suffix(".bin").stat().st_size


def test_nothing_of_nncf_stays_changed_and_no_file_is_left(ir: Path, tmp_path: Path):
    from nncf.quantization.algorithms.weight_compression import mixed_precision, openvino_backend

    before = openvino_backend.compress_weight, openvino_backend.create_ov_const_from_tensor, mixed_precision.track
    with pytest.raises(nncf.ParameterNotSupportedError):
        compress_and_save(read(ir), tmp_path / MODEL_XML, mode=nncf.CompressWeightsMode.INT8_ASYM, ratio=0.5)
    after = openvino_backend.compress_weight, openvino_backend.create_ov_const_from_tensor, mixed_precision.track
    assert before == after
    assert not list(tmp_path.iterdir())


def test_another_nncf_does_its_work_as_always_and_that_is_said(ir: Path, tmp_path: Path, monkeypatch, capsys):
    lean, stock = tmp_path / "lean.xml", tmp_path / "stock.xml"
    compress_and_save(read(ir), lean, mode=nncf.CompressWeightsMode.INT8_ASYM)
    assert capsys.readouterr().out == ""
    monkeypatch.setattr(compression, "KNOWN_NNCF", "0.")
    monkeypatch.setattr(compression, "_keeping_in", None)  # can't be called
    compress_and_save(read(ir), stock, mode=nncf.CompressWeightsMode.INT8_ASYM)
    assert "takes more memory" in capsys.readouterr().out
    assert lean.with_suffix(".bin").read_bytes() == stock.with_suffix(".bin").read_bytes()


CONVERT_ALL = """
import sys
from pathlib import Path

import nncf
from transformers import AutoModelForCausalLM, AutoTokenizer

from llm_chatbot.convert.export.compression import compress_and_save
from llm_chatbot.convert.export.exporter import export

folder, modes = Path(sys.argv[1]), nncf.CompressWeightsMode
model = AutoModelForCausalLM.from_pretrained(folder, dtype="auto")
tokenizer = AutoTokenizer.from_pretrained(folder)
export(model, tokenizer, folder / "FP16")
for settings in ({"mode": modes.INT8_ASYM}, {"mode": modes.INT4_SYM, "group_size": 64, "ratio": 0.6}):
    export(model, tokenizer, folder / "compressed", lambda ir, path: compress_and_save(ir, path, **settings))
"""


@pytest.mark.slow
def test_a_conversion_takes_no_more_memory_for_a_larger_model(tmp_path: Path):
    """Twelve layers instead of four, from pickled shards: 176 MB of 16-bit weights more, and 88 MB of 8-bit ones.

    A layer takes 5 MB in any case, as a part of the graph. The memory is sampled, and what a layer takes for a moment
    may be missed: they are narrow and many, so that it is little and has many occasions to be seen.
    """
    peaks = []
    for layers in (4, 12):
        shape = {"vocab_size": 4000, "hidden_size": 1024, "intermediate_size": 2816, "num_hidden_layers": layers}
        heads = {"num_attention_heads": 16, "num_key_value_heads": 2}
        make_checkpoint(tmp_path / str(layers), {"model_type": "llama", **shape, **heads}, pickled=layers == 12)
        command = [sys.executable, "-c", CONVERT_ALL, str(tmp_path / str(layers))]
        peaks.append(max(size for _, _, size in sample(command, interval=0.01, cwd=ROOT)))
    assert peaks[1] - peaks[0] < 55e6
