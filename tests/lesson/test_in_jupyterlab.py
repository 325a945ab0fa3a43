"""The tutorial in JupyterLab, as a reader has it after "Run All Cells": sliders draw, and the page answers."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import nbformat
import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from llm_chatbot.lesson.front_end import REMOTE
from tests import measured_once
from tests.lesson.test_solutions import ROOT, SHORTER, prepare_folder
from tests.ports import free_port

# Milliseconds, for a machine that is busy: until all cells have run, and for what is done then.
RUN, STEP = 1_500_000, 120_000
# By the file of each, in the folder of JupyterLab's settings.
SETTINGS = {
    "notebook-extension/tracker": {"windowingMode": "none"},  # cells that nobody sees are there
    "apputils-extension/themes": {"theme": "JupyterLab Dark"},
}


# Runs all cells, and says when they have run.
RUN_ALL = """() => {
  const { commands, shell } = window.jupyterapp;
  shell.currentWidget.sessionContext.ready
    .then(() => commands.execute("notebook:run-all-cells"))
    .then(() => (window.finished = true));
}"""


@pytest.fixture(scope="module")
def browser(browsers: Callable[..., Browser]) -> Browser:
    return browsers("chromium")


@pytest.fixture(scope="module")
def lab(models_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the notebook in a JupyterLab of its own, with short cells in place of those that take minutes."""
    prepare_folder(models_root)
    notebook = nbformat.read(ROOT / "llm-chatbot.ipynb", as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            shared = measured_once.with_shared_results(cell.id, cell.source)
            cell.source, cell.outputs, cell.execution_count = SHORTER.get(cell.id, shared), [], None
    nbformat.write(notebook, models_root / "lesson.ipynb")
    home = tmp_path_factory.mktemp("jupyter")
    for name, setting in SETTINGS.items():
        file = home / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True)
        file.write_text(json.dumps(setting), encoding="utf-8")
    port = free_port()
    options = {"ServerApp.port": port, "ServerApp.root_dir": models_root, "IdentityProvider.token": "",
               "ServerApp.open_browser": False, "LabApp.expose_app_in_browser": True,
               "ServerApp.allow_root": True}  # fmt: skip
    environment = {name: value for name, value in os.environ.items() if name not in REMOTE}
    environment |= {"PYTHONPATH": str(ROOT), "LLM_CHATBOT_LANGUAGE": "en"}
    environment |= {f"JUPYTER_{name}_DIR": str(home / name) for name in ("CONFIG", "DATA", "RUNTIME")}
    environment |= {
        "JUPYTERLAB_SETTINGS_DIR": str(home / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces"),
    }
    command = [sys.executable, "-m", "jupyterlab", *(f"--{name}={value}" for name, value in options.items())]
    with (home / "log").open("w", encoding="utf-8") as log:
        server = subprocess.Popen(command, cwd=models_root, env=environment, stdout=log, stderr=subprocess.STDOUT)
    address = f"http://127.0.0.1:{port}"
    try:
        httpx.Client(transport=httpx.HTTPTransport(retries=30), timeout=STEP / 1000).get(f"{address}/api")
        yield f"{address}/lab/tree/lesson.ipynb"
    finally:
        server.terminate()
        server.wait()
        (models_root / "lesson.ipynb").unlink()
        shutil.rmtree(models_root / ".ipynb_checkpoints", ignore_errors=True)


@pytest.fixture(scope="module")
def page(browser: Browser, lab: str) -> Page:
    """The notebook after all its cells have run."""
    page = browser.new_context(viewport={"width": 1400, "height": 1000}, color_scheme="light").new_page()
    page.set_default_timeout(STEP)
    page.goto(lab)
    page.wait_for_function("() => window.jupyterapp?.shell.currentWidget?.sessionContext")
    page.evaluate(RUN_ALL)
    page.wait_for_function("() => window.finished", timeout=RUN)
    return page


def cell_with(page: Page, text: str) -> Locator:
    return page.locator(".jp-CodeCell", has=page.locator(".jp-InputArea", has_text=text))


def test_no_cell_fails_and_the_first_answer_is_there(page: Page):
    errors = page.locator("[data-mime-type='application/vnd.jupyter.error'], [data-mime-type$='stderr'] :text('Error')")
    expect(errors).to_have_count(0)
    expect(cell_with(page, "Give me three tips").locator(".jp-OutputArea-output")).to_contain_text("sleep")


def test_a_slider_draws_again(page: Page):
    cell = cell_with(page, "attention_sliders(")
    picture = cell.locator("img")
    before = picture.get_attribute("src")
    handle = cell.get_by_role("slider").first
    handle.scroll_into_view_if_needed()
    handle.press("ArrowLeft")
    assert before
    expect(picture).not_to_have_attribute("src", before)


def test_a_press_draws_a_token_and_a_key_draws_pieces(page: Page):
    cell = cell_with(page, "sampling_controls(")
    cell.get_by_role("button", name="Draw a token").press("Enter")
    expect(cell.locator("mark")).not_to_be_empty()
    cell = cell_with(page, "token_box(")
    cell.get_by_role("textbox", name="text").press_sequentially("zebra")
    expect(cell.locator("td").get_by_text("z", exact=False).first).to_be_visible()


def test_the_game_is_played(page: Page):
    cell = cell_with(page, "game_controls(")
    cell.get_by_role("combobox", name="part").select_option("MLP")
    measure = cell.get_by_role("button", name="Round and measure")
    picture = cell.locator("img")
    before = picture.get_attribute("src")
    measure.press("Enter")
    assert before
    expect(picture).not_to_have_attribute("src", before, timeout=STEP)
    expect(measure).to_be_enabled()
    expect(cell.get_by_role("status")).to_contain_text("NNCF")


def test_the_page_answers_inside_the_notebook(page: Page):
    cell_with(page, "show_page(demo)").locator("iframe").scroll_into_view_if_needed()
    inside = page.frame_locator("iframe")
    box = inside.locator("#message textarea")
    box.fill("Name the capital of France.")
    box.press("Enter")
    expect(inside.get_by_test_id("bot").last).to_contain_text("Paris")
    ground = inside.locator(":root").evaluate("root => getComputedStyle(root).backgroundColor")
    channels = ground[ground.index("(") + 1 : -1].split(",")[:3]
    assert max(map(int, channels)) < 100, ground  # dark, as JupyterLab is, though the browser asks for light
