"""Fixtures of several tests: a model hub on this machine, and the embedded model, converted once for the whole run.

Several processes (`pytest --dist loadscope`, where each runs whole files) share that conversion. Each has its own
hub.
"""

import gc
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

import pytest
from filelock import FileLock
from playwright.sync_api import Browser, sync_playwright

from tests import hub_server, measured_once

gc.disable()  # until all is imported and collected, which takes a quarter less time so

# huggingface_hub reads these when it is imported. No test asks the real hub, or leaves anything in the user's cache.
HUB = hub_server.Hub()
os.environ["HF_ENDPOINT"] = hub_server.start(HUB)
os.environ["HF_HOME"] = tempfile.mkdtemp()
# Two processes would share the history of a user's cells, and run what else is there.
os.environ["IPYTHONDIR"] = tempfile.mkdtemp()
os.environ.setdefault("TEST_RUN_FOLDER", tempfile.mkdtemp())  # the same one in all processes of a run

# isort: split
from huggingface_hub import constants
from transformers import AutoTokenizer, Phi3Config, Phi3ForCausalLM

from llm_chatbot.catalogue.rows import DEFAULT_MODEL, SUPPORTED_LLM_MODELS
from llm_chatbot.convert.checkpoint.architectures import read_checkpoint
from llm_chatbot.convert.conversion import convert_model
from llm_chatbot.engine.precisions import EXACT
from llm_chatbot.folder.place import SUBFOLDERS
from llm_chatbot.optimum_models import OVChatModel, load_model
from llm_chatbot.sources import hub_notes
from tests import small_image_checkpoints, small_modern_checkpoints
from tests.browser import launch
from tests.tiny_models import DATA, export

# What makes a test slow: the embedded model, a browser, conversions of smaller ones.
SLOW_FIXTURES = {"models_root", "browser", "browsers", "tiny", "ir", "published", "image_folder"}
# Files that take long too, though each of their tests is quick.
LONG = {"test_template_check", "test_exporter", "test_exporter_configs", "test_folder", "test_paged_graph"}
# Browsers, servers and processes on a busy machine: docs/decisions.md says why these tests get a second attempt.
PAGE = Path(__file__).with_name("page")


@pytest.fixture(scope="session")
def browsers() -> Iterator[Callable[..., Browser]]:
    """Gives a browser as `launch` does; each is started once. A process can have one Playwright only."""
    with sync_playwright() as playwright:
        yield cache(partial(launch, playwright))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--firefox", action="store_true", help="use the page in Firefox alone")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks what `make test-fast` leaves out, and puts the files that take long first.

    Each process takes the next file, so that quick ones are left when the other has nothing to do any more. The
    tutorial comes first, its translations later: two notebooks at a time would wait for each other's conversions, and
    they show what the tutorial has measured.
    """
    for item in items:
        if SLOW_FIXTURES & set(getattr(item, "fixturenames", ())):
            item.add_marker("slow")
        if PAGE in item.path.parents:
            item.add_marker(pytest.mark.flaky(reruns=1))
        if cell := getattr(item, "cell", None):  # of a notebook
            cell.source = measured_once.with_shared_results(cell.get("id"), cell.source)
    slow = {item.path for item in items if item.get_closest_marker("slow")}

    def place(item: pytest.Item) -> int:
        if item.path.suffix == ".ipynb":
            return 2 if item.path.parent.name == "docs" else 0
        return 1 if item.path in slow or item.path.stem in LONG else 3

    items.sort(key=place)


def pytest_collection_finish() -> None:
    """Spares each garbage collection, of which a conversion has several, what was imported: 0.3 s of a processor."""
    gc.freeze()
    gc.enable()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Shows why a test was run again, which is a bug as well."""
    for report in terminalreporter.getreports("rerun"):
        terminalreporter.section(f"run again: {report.nodeid}")
        terminalreporter.line(report.longreprtext)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[hub_server.Hub]:
    """An empty hub, and an empty cache of what came from it, without notes of other tests."""
    HUB.reset(tmp_path / "hub")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(hub_notes, "cache_folder", lambda: tmp_path / "ours")
    yield HUB


@pytest.fixture
def published(hub: hub_server.Hub, tmp_path: Path) -> Path:
    """The repository on the hub in which OpenVINO publishes `qwen3-1.7b` converted; in small, as its checkpoint is."""
    small_modern_checkpoints.write("qwen3-1.7b", hub.root)
    row = SUPPORTED_LLM_MODELS["qwen3-1.7b"]
    assert row.openvino_id
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setitem(SUPPORTED_LLM_MODELS, "qwen3-1.7b", replace(row, parameters=500_000))
        made = convert_model("qwen3-1.7b", "INT4", tmp_path / "made")
    repository = shutil.copytree(made, hub.root / row.openvino_id)
    (repository / "conversion.json").unlink()
    hub.sent.clear()
    return repository


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.LogCaptureFixture]:
    """The product's log, whatever libraries that other tests use log or did to loggers and levels."""
    caplog.set_level(logging.WARNING)
    for logger in logging.root.manager.loggerDict.values():
        if isinstance(logger, logging.Logger) and logger.disabled:
            monkeypatch.setattr(logger, "disabled", False)

    def is_ours(record: logging.LogRecord) -> bool:
        return record.name.startswith("llm_chatbot.")

    caplog.handler.addFilter(is_ours)
    yield caplog
    caplog.handler.removeFilter(is_ours)


@pytest.fixture(scope="session")
def models_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the embedded model in all precisions; `TEST_MODELS` names one to keep between two runs."""
    root = Path(os.environ.get("TEST_MODELS") or folder_of_the_run(tmp_path_factory) / "models")
    root.mkdir(parents=True, exist_ok=True)
    with FileLock(root / "tests.lock"):
        for precision in SUBFOLDERS:
            convert_model(DEFAULT_MODEL, precision, root)
    return root


def folder_of_the_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A temporary folder that is the same one in all of xdist's processes."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@pytest.fixture(scope="session")
def embedded_folder(models_root: Path) -> Path:
    """The embedded model with the blocks of its file."""
    return convert_model(DEFAULT_MODEL, output_root=models_root)


@pytest.fixture(scope="session")
def tokenizer(embedded_folder: Path):
    return AutoTokenizer.from_pretrained(embedded_folder)


@pytest.fixture(scope="session")
def model(embedded_folder: Path) -> OVChatModel:
    return load_model(embedded_folder)


@pytest.fixture(scope="session")
def exact_model(embedded_folder: Path) -> OVChatModel:
    return load_model(embedded_folder, ov_config=EXACT)


@pytest.fixture(scope="session")
def tiny_folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Converted models with random weights: of each original format one, and a Phi-3 with two ranges of positions."""
    root = tmp_path_factory.mktemp("tiny")
    models = {name: read_checkpoint(DATA / f"{name}-tiny") for name in ("chatglm3", "mpt", "qwen")}
    longrope = {
        "rope_type": "longrope",
        "rope_theta": 10_000.0,
        "short_factor": [1.0] * 4,
        "long_factor": [2.0] * 4,
        "original_max_position_embeddings": 64,
    }
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 4}
    phi3 = Phi3Config(
        **sizes, vocab_size=64, pad_token_id=0, original_max_position_embeddings=64, rope_parameters=longrope
    )
    return {name: export(model, root / name) for name, model in {**models, "phi3": Phi3ForCausalLM(phi3)}.items()}


@pytest.fixture(scope="session")
def image_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Path, Path]]:
    """Gives a small checkpoint that reads images, and its 16-bit folder: each is converted once."""

    @cache
    def converted(name: str) -> tuple[Path, Path]:
        root = tmp_path_factory.mktemp("images")
        checkpoint = small_image_checkpoints.write(name, root / name)
        return checkpoint, convert_model(str(checkpoint), "FP16", root)

    return converted
