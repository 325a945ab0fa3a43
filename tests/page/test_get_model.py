"""Getting a model from within the page, with real conversions in processes of their own."""

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from playwright.sync_api import Browser, BrowserContext, Route, expect

from llm_chatbot.answering.models import LoadedModel
from llm_chatbot.catalogue.rows import SUPPORTED_LLM_MODELS
from llm_chatbot.convert.conversion import convert_model
from llm_chatbot.errors import UserError
from llm_chatbot.folder.found import measured_variants
from llm_chatbot.folder.manifest import is_complete, read_manifest
from llm_chatbot.folder.place import model_folder, partial_folder
from llm_chatbot.page.app import ChatPage
from llm_chatbot.page.get_model import Conversion, Measurement, ModelGetter, Work, end_process
from llm_chatbot.texts import translate
from tests import small_checkpoints
from tests.hub_server import Hub
from tests.page_visit import TIMEOUT, Server, Visit, eventually

SMALL = "org/small"
CONVERSION = 3 * TIMEOUT  # for a process that imports PyTorch first, which takes most of it
STEP = '{{"step": "{}", "done": 3, "total": 4, "unit": "B"}}'


@pytest.fixture
def small(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A name on the hub whose checkpoint is small; converters download it to a cache of the test."""
    name = "tiny-llama-1b-chat"
    (hub.root / "org").mkdir(parents=True)
    small_checkpoints.write(name, hub.root)
    (hub.root / SUPPORTED_LLM_MODELS[name].model_id).rename(hub.root / SMALL)
    hub.described[SMALL] = {"cardData": {"license": "apache-2.0"}}
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    return SMALL


def fake(*lines: str, then: str = "") -> tuple[str, ...]:
    """A converter that prints lines, then does something."""
    script = f"import os, signal, sys, time\nfor line in {lines!r}: print(line, flush=True)\n{then}"
    return sys.executable, "-c", script


def finished(work: Work) -> Work:
    work.wait(60)
    return work


# The state of a conversion


def test_a_conversion_follows_the_steps_of_its_process(tmp_path: Path):
    lines = ("a library's own line", '{"step": 1}', "[]", STEP.format("Exporting"))
    conversion = Conversion("org/name", "INT8", tmp_path, fake(*lines, then="time.sleep(60)"))
    assert eventually(lambda: conversion.state.step == "Exporting")
    state = conversion.state
    assert (state.phase, state.done, state.total, state.unit) == ("running", 3, 4, "B")
    conversion.cancel()
    assert conversion.state.phase == "cancelled" and conversion.process.poll() is not None


def test_the_converters_own_error_is_kept_and_anything_else_has_none(tmp_path: Path):
    error = UserError("convert.disk", folder="a", free="1.0 GB", needed="2.0 GB").as_json()
    failing = fake(json.dumps({"error": error}), then="sys.exit(2)")
    refused = finished(Conversion("org/name", "INT4", tmp_path, failing)).state
    assert (refused.phase, refused.error) == ("failed", error)
    crashing = fake(then="print('Warning: x', file=sys.stderr); sys.exit(1)")
    crashed = finished(Conversion("org/name", "INT4", tmp_path, crashing)).state
    assert (crashed.phase, crashed.error, crashed.exit_status) == ("failed", None, 1)
    lied = finished(Conversion("org/name", "INT4", tmp_path, fake(then="sys.exit(0)"))).state
    assert lied.phase == "failed"


def test_what_does_not_end_when_it_is_asked_to_is_ended_with_all_that_it_started(tmp_path: Path, monkeypatch):
    monkeypatch.setattr("llm_chatbot.page.get_model.END_SECONDS", 0.2)
    stubborn = "import subprocess; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    child = (
        "print(subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']).pid, file=open('child', 'w'))"
    )
    monkeypatch.chdir(tmp_path)
    ready = f"print({STEP.format('ready')!r}, flush=True); time.sleep(60)"
    conversion = Conversion("org/name", "INT4", tmp_path, fake(then=f"{stubborn}{child}\n{ready}"))
    assert eventually(lambda: conversion.state.step == "ready")
    pid = int((tmp_path / "child").read_text(encoding="utf-8"))
    conversion.cancel()
    assert conversion.state.phase == "cancelled"
    assert eventually(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)


def test_a_stubborn_process_and_its_stubborn_child_are_given_one_time(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("llm_chatbot.page.get_model.END_SECONDS", 2)
    stubborn = "import signal, subprocess, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
    ready = "print('ready', flush=True); time.sleep(60)"
    child = f"subprocess.Popen([sys.executable, '-c', {stubborn + ready!r}]); time.sleep(60)"
    process = subprocess.Popen([sys.executable, "-c", stubborn + child], stdout=subprocess.PIPE)
    assert process.stdout is not None and process.stdout.readline() == b"ready\n"
    began = time.monotonic()
    end_process(process)
    assert process.stdout.read() == b""  # the child, which would write there too, has ended
    assert time.monotonic() - began < 3.5
    process.stdout.close()


def test_a_process_that_was_ended_keeps_its_exit_status():
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    end_process(process)
    assert process.wait(60) != 0


def test_a_name_is_never_an_option_of_the_converter_and_an_unknown_one_starts_nothing(tmp_path: Path):
    getter = ModelGetter(tmp_path, fake(then="print({})"))
    for name in ("--list", "no such model", ""):
        with pytest.raises(UserError):
            getter.convert(name, "INT4")
        with pytest.raises(UserError):
            getter.model(name)
    with pytest.raises(UserError, match="INT2"):
        getter.convert("org/name", "INT2")
    assert getter.state() is None


def test_one_model_is_converted_at_a_time(tmp_path: Path):
    getter = ModelGetter(tmp_path, fake(then="time.sleep(60)"))
    getter.convert("org/one", "INT4")
    with pytest.raises(UserError, match=r"org/one is being converted or measured; .*cancel"):
        getter.convert("org/two", "INT4")
    getter.close()
    assert (getter.state() or {})["phase"] == "cancelled"
    getter.convert("org/two", "INT4")
    getter.close()


def test_a_measurement_is_a_process_as_a_conversion_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    measured = finished(Measurement("org/name", tmp_path, fake(STEP.format("Timing"))))
    assert (measured.state.name, measured.state.precision, measured.state.phase) == ("org/name", None, "done")
    error = UserError("measure.no_16_bit").as_json()
    failing = fake(json.dumps({"error": error}), then="sys.exit(2)")
    assert finished(Measurement("org/name", tmp_path, failing)).state.error == error
    monkeypatch.setattr("llm_chatbot.page.get_model.MEASURE", fake(then="time.sleep(60)"))
    monkeypatch.setattr("llm_chatbot.page.get_model.variant_folders", lambda name, root: {"INT4": tmp_path})
    getter = ModelGetter(tmp_path)
    getter.measure("org/name")
    with pytest.raises(UserError, match=r"org/name is being converted or measured; .*cancel"):
        getter.convert("org/name", "INT4")
    getter.cancel()
    assert (getter.state() or {})["phase"] == "cancelled"
    monkeypatch.undo()
    with pytest.raises(UserError, match="org/name isn't converted"):
        getter.measure("org/name")
    getter.close()


def test_a_list_that_cannot_be_read_is_one_sentence(tmp_path: Path):
    for then in ("print('no JSON')", "sys.exit(1)"):
        with pytest.raises(UserError, match=r"converter.py --list"):
            ModelGetter(tmp_path, fake(then=then)).models()


def test_the_page_says_what_the_converter_says_in_its_own_language(tmp_path: Path):
    error = UserError("convert.memory", free="1.0 GB", needed="2.0 GB").as_json()
    getter = ModelGetter(tmp_path, fake(json.dumps({"error": error}), then="sys.exit(2)"))
    getter.convert("org/one", "INT4")
    assert eventually(lambda: (getter.state() or {})["phase"] == "failed")
    assert (getter.state() or {})["error"] == error
    with pytest.raises(
        UserError, match=r"^1\.0 GB of memory are free and the conversion needs about 2\.0 GB"
    ) as raised:
        getter.model("org/one")
    assert raised.value.in_language("ja").startswith("空きメモリは 1.0 GB ですが、変換には約 2.0 GB が必要です。")
    listed = json.dumps({"models": [{"name": "a", "error": error}, {"name": "b", "error": None}]})
    assert [it["error"] for it in ModelGetter(tmp_path, fake(listed)).models()["models"]] == [error, None]
    getter.close()


# Real conversions


def test_a_cancelled_and_a_killed_conversion_leave_nothing(small: str, hub: Hub, tmp_path: Path):
    hub.held |= {path.name for path in (hub.root / small).glob("*.safetensors")}  # so that neither ends by itself
    cancelled = Conversion(small, "INT4", tmp_path / "one")
    killed = Conversion(small, "INT8", tmp_path / "two")
    for conversion in (cancelled, killed):
        assert eventually(lambda: partial_folder(conversion.folder).is_dir() or conversion.state.phase != "running")  # noqa: B023
    killed.process.send_signal(signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)
    cancelled.cancel()
    killed.wait(30)
    assert cancelled.state.phase == "cancelled"
    assert killed.state.phase == "failed" and killed.state.error is None and killed.state.exit_status != 0
    assert not list((tmp_path / "one").rglob("*")) and not list((tmp_path / "two").rglob("*"))


def test_a_disk_that_is_too_small_is_the_converters_sentence(small: str, tmp_path: Path):
    """The limit is faked in the converter's process, which is otherwise the real one."""
    limited = (
        "import sys, runpy, shutil; from types import SimpleNamespace;"
        "shutil.disk_usage = lambda path: SimpleNamespace(free=1_000_000);"
        "runpy.run_module('llm_chatbot.commands.convert', run_name='__main__', alter_sys=True)"
    )
    command = (sys.executable, "-c", limited)
    state = finished(Conversion("qwen3-8b", "INT4", tmp_path / "models", command)).state
    assert state.phase == "failed" and state.error
    assert re.search(r"free disk space|GB free; free some disk", state.error["text"])
    assert "ディスクの空きを増やすか" in UserError.from_json(state.error).in_language("ja")
    assert not list((tmp_path / "models").rglob("*"))


# In a browser


@pytest.fixture
def getting(loaded: LoadedModel, tmp_path: Path, greedy: None) -> Iterator[Server]:
    """A page that may get models, into an empty folder."""
    (tmp_path / "models").mkdir()
    server = Server(loaded, tmp_path / "models")
    server.stop()
    server.make = lambda: ChatPage(loaded, tmp_path / "models", get_models=True)
    server.start()
    yield server
    server.stop()


def test_a_model_is_looked_up_converted_with_a_bar_and_talked_to(
    small: str, getting: Server, context: BrowserContext, tmp_path: Path
):
    visit = Visit(context, getting)
    visit.open_panel("Settings")
    visit.button("Get a model").click()
    dialog = visit.page.get_by_role("dialog", name="Get a model")
    expect(dialog.get_by_role("row", name=re.compile("qwen3-8b"))).to_contain_text("Apache-2.0")
    visit.screenshot("get-model")
    dialog.get_by_label("From the Hub or this machine").fill("org/nothing")
    dialog.get_by_role("button", name="Look up").click()
    expect(dialog.get_by_role("status").first).to_contain_text("There is no model org/nothing")
    dialog.get_by_label("From the Hub or this machine").fill(small)
    dialog.get_by_role("button", name="Look up").click()
    row = dialog.get_by_role("row", name=small)
    expect(row).to_contain_text("apache-2.0")
    expect(row).to_contain_text("Fits")
    dialog.get_by_role("button", name=f"Convert: {small}").click()
    expect(dialog.get_by_role("progressbar")).to_be_visible()  # its values, which pass quickly, are tested above
    visit.screenshot("get-model-converting")
    # A reload in the middle: the conversion goes on, and the view shows it again.
    visit.reload()
    visit.open_panel("Settings")
    visit.button("Get a model").click()
    expect(dialog.get_by_text(f"{small} · INT4 is ready.")).to_be_visible(timeout=CONVERSION)
    assert is_complete(model_folder(small, "INT4", tmp_path / "models"))
    visit.screenshot("get-model-done")
    dialog.locator(".get-model-end").get_by_role("button", name="Use").click()
    expect(visit.model.filter(has_text=f"{small} · INT4")).to_be_visible()
    visit.close_panel("Settings")
    visit.set(max_new_tokens="3")
    visit.ask("Hello")


def test_models_and_what_the_converter_refuses_are_described_in_the_language_of_the_page(
    hub: Hub, getting: Server, browser: Browser
):
    def label(key: str) -> str:
        return translate("ja", key)

    with browser.new_context(locale="ja-JP") as context:
        visit = Visit(context, getting)
        visit.open_panel(label("settings"))
        visit.button(label("get_model")).click()
        dialog = visit.page.get_by_role("dialog", name=label("get_model"))
        dialog.get_by_label(label("get_model_name")).fill("org/nothing")
        dialog.get_by_role("button", name=label("get_model_find")).click()
        expect(dialog.get_by_role("status").first).to_contain_text(
            "にモデル org/nothing はありません。名前を確かめるか、"
        )
        described = translate("ja", "about_model.qwen3-8b")
        expect(dialog.get_by_role("row", name=re.compile("qwen3-8b"))).to_contain_text(described)


def test_what_a_lookup_says_stays_when_the_list_comes_later(hub: Hub, getting: Server, context: BrowserContext):
    visit = Visit(context, getting)
    lists: list[Route] = []
    visit.page.route("**/page/models", lambda route: lists.append(route))
    visit.open_panel("Settings")
    visit.button("Get a model").click()
    dialog = visit.page.get_by_role("dialog", name="Get a model")
    dialog.get_by_label("From the Hub or this machine").fill("org/nothing")
    dialog.get_by_role("button", name="Look up").click()
    status = dialog.get_by_role("status").first
    expect(status).to_contain_text("There is no model org/nothing")
    lists[0].continue_()
    expect(dialog.get_by_role("row", name=re.compile("qwen3-8b"))).to_be_visible()
    expect(status).to_contain_text("There is no model org/nothing")


def test_openvinos_own_folder_is_taken_where_it_is_ticked(
    published: Path, getting: Server, context: BrowserContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache of the converter"))
    visit = Visit(context, getting)
    visit.open_panel("Settings")
    visit.button("Get a model").click()
    dialog = visit.page.get_by_role("dialog", name="Get a model")
    expect(dialog.get_by_role("button", name="Convert: qwen3-1.7b")).to_be_visible()
    dialog.get_by_label("Take OpenVINO's own INT4 where there is one").check()
    expect(dialog.get_by_role("row", name=re.compile("qwen3-1.7b"))).to_contain_text("OpenVINO/Qwen3-1.7B-int4-ov")
    expect(dialog.get_by_role("button", name="Convert: smollm2-360m-instruct")).to_be_visible()
    dialog.get_by_role("button", name="Download: qwen3-1.7b").click()
    expect(dialog.get_by_text("qwen3-1.7b · INT4 is ready.")).to_be_visible(timeout=CONVERSION)
    folder = model_folder("qwen3-1.7b", "INT4", tmp_path / "models")
    assert read_manifest(folder)["compression"] == {"prebuilt": "OpenVINO/Qwen3-1.7B-int4-ov"}


def test_what_compression_costs_is_measured_on_the_page_and_shown_again(
    small: str, getting: Server, context: BrowserContext, tmp_path: Path
):
    for precision in ("INT4", "FP16"):
        convert_model(small, precision, tmp_path / "models")
    visit = Visit(context, getting)
    visit.open_panel("Settings")
    visit.button("Get a model").click()
    dialog = visit.page.get_by_role("dialog", name="Get a model")
    dialog.get_by_text("What compression costs").click()
    dialog.get_by_role("button", name=f"Measure: {small}").click()
    expect(dialog.get_by_text(f"The variants of {small} have been measured.")).to_be_visible(timeout=CONVERSION)
    figures = measured_variants(model_folder(small, "INT4", tmp_path / "models").parent)
    row = dialog.locator(".get-model-variants").get_by_role("row", name=re.compile("^INT4"))
    expect(row).to_contain_text(f"{figures['INT4']['kl']:.4f}")
    assert figures["INT4"]["kl"] > 0 == figures["FP16"]["kl"]
    visit.screenshot("get-model-measured")
    visit.page.set_viewport_size({"width": 390, "height": 800})
    assert visit.page.evaluate("document.querySelector('dialog').scrollWidth <= innerWidth")
    # What the first visit measured, another one shows.
    visit.reload()
    visit.open_panel("Settings")
    visit.button("Get a model").click()
    expect(row).to_contain_text(f"{figures['INT4']['kl']:.4f}")


def test_a_page_for_others_offers_no_conversions(visit: Visit):
    visit.open_panel("Settings")
    expect(visit.page.locator("#set-model")).to_be_visible()
    expect(visit.button("Get a model")).to_have_count(0)
    status = visit.page.evaluate("async () => (await fetch('page/models/convert', {method: 'POST'})).status")
    assert status in (404, 405)
