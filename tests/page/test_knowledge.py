"""Collections on the page: made, filled, used in a conversation, and opened at the place of a passage."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, expect
from starlette.applications import Starlette
from starlette.testclient import TestClient

from llm_chatbot.answering.models import open_loaded_model
from llm_chatbot.catalogue.rows import DEFAULT_MODEL
from llm_chatbot.page.knowledge import PageKnowledge
from llm_chatbot.page.knowledge_routes import knowledge_routes
from tests.document_files import pdf
from tests.page_visit import Server, Visit, eventually

PRESS = "# Cider press\n\n" + "The room is swept. " * 400 + "\n\n## Oil\n\nThe cider press is oiled with walnut oil."


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A page with the embedded model, straight from its file, and without any collection."""
    folder = tmp_path_factory.mktemp("knowledge")
    loaded = open_loaded_model(DEFAULT_MODEL, "GGUF", "CPU", folder)
    knowledge = PageKnowledge(takes_folders=True, root=folder / "collections")
    server = Server(loaded, None, knowledge)
    yield server
    server.stop()


@pytest.fixture(autouse=True)
def no_collections(server: Server) -> None:
    """A test that is tried again finds none of what its first attempt made."""
    knowledge = server.page.knowledge
    assert knowledge is not None
    for collection in knowledge.collections():
        knowledge.delete(collection["id"])


@pytest.fixture
def visit(context: BrowserContext, server: Server) -> Visit:
    return Visit(context, server, max_new_tokens="12")


@pytest.fixture
def files(tmp_path: Path) -> Path:
    folder = tmp_path / "notes"
    folder.mkdir()
    (folder / "press.md").write_text(PRESS, encoding="utf-8")
    (folder / "会議.md").write_text("会議は毎週月曜日の午前十時に始まります。", encoding="utf-8")
    (folder / "bad.pdf").write_bytes(b"no")
    return folder


def manage(visit: Visit) -> Locator:
    visit.page.get_by_role("button", name=re.compile("^Knowledge")).click()
    visit.button("Make and fill collections…").click()
    return visit.page.get_by_role("dialog", name="Knowledge")


def make(visit: Visit, name: str) -> Locator:
    """Makes a collection that is searched by words, and returns its part of the view."""
    view = manage(visit)
    view.get_by_label("New collection").fill(name)
    view.get_by_label("Searched by").select_option("")
    view.get_by_role("button", name="Make", exact=True).click()
    return view.get_by_role("region", name=name)


def test_a_folder_becomes_a_collection_whose_passages_answers_show(visit: Visit, files: Path):
    made = make(visit, "Cider")
    expect(made.get_by_label("use in this conversation")).to_be_checked()
    made.get_by_label("File or folder of this machine").fill(str(files))
    made.get_by_role("button", name="Add", exact=True).press("Enter")
    expect(made.locator(".facts")).to_contain_text("2 files")
    expect(made.locator(".errors summary")).to_have_text("1 file could not be read")
    visit.page.keyboard.press("Escape")
    visit.ask("Which oil is the cider press oiled with?")
    shown = visit.answers.last.locator(".passages")
    expect(shown.locator("summary")).to_have_text(re.compile("Given [1-8] passage"))
    shown.locator("summary").click()
    expect(shown.locator("li").first).to_contain_text("walnut oil")
    shown.get_by_role("button", name="[1] press.md").click()
    document = visit.page.get_by_role("dialog", name="press.md")
    expect(document.locator("mark")).to_be_in_viewport()
    expect(document.locator("mark")).to_contain_text("walnut oil")
    visit.page.keyboard.press("Escape")
    visit.ask("Who won the football world cup in 1998?")
    expect(visit.answers.last.locator(".passages summary")).to_contain_text("Nothing in the collections fits")
    visit.reload()
    expect(visit.answers.first.locator(".passages summary")).to_have_text(re.compile("Given [1-8] passage"))
    assert visit.stored()[1]["passages"][0]["number"] == 1 and visit.stored()[3]["passages"] == []
    removed = manage(visit).get_by_role("region", name="Cider")
    removed.get_by_role("button", name="Delete", exact=True).click()
    removed.get_by_role("button", name="Delete for good?").click()
    expect(visit.page.get_by_text("There is no collection yet.")).to_be_visible()
    visit.page.keyboard.press("Escape")
    visit.ask("Which oil is the cider press oiled with?")
    expect(visit.answers.last.locator(".passages")).to_be_hidden()


@pytest.mark.parametrize(("width", "scheme"), [(390, "light"), (1280, "dark")])
def test_it_is_used_on_small_and_dark_screens_by_keyboard(
    browser: Browser, server: Server, files: Path, width: int, scheme
):
    with browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme) as context:
        visit = Visit(context, server, max_new_tokens="12")
        name = f"Notes {width}"
        made = make(visit, name)
        made.locator("input[type=file]").set_input_files(sorted(files.iterdir()))
        expect(made.locator(".facts")).to_contain_text("2 files · ")
        expect(made.locator("progress")).to_be_hidden()
        assert visit.serious_problems() == []
        visit.screenshot(f"knowledge-view-{width}-{scheme}")
        visit.page.keyboard.press("Escape")
        visit.ask("会議は何時に始まりますか")
        shown = visit.answers.last.locator(".passages")
        shown.locator("summary").press("Enter")
        expect(shown.locator("blockquote")).to_contain_text("午前十時")
        assert visit.serious_problems() == []
        assert visit.page.evaluate("document.documentElement.scrollWidth") == width
        visit.screenshot(f"knowledge-answer-{width}-{scheme}")
        button = visit.page.get_by_role("button", name="Knowledge: 1 collection", exact=True)
        button.press("Enter")
        expect(visit.page.get_by_role("dialog", name="Knowledge").get_by_label(name)).to_be_checked()
        visit.screenshot(f"knowledge-choice-{width}-{scheme}")
        visit.page.keyboard.press("Escape")
        expect(button).to_be_focused()
        shown.get_by_role("button").first.press("Enter")
        expect(visit.page.locator("dialog mark")).to_be_visible()
        assert visit.serious_problems() == []
        visit.screenshot(f"knowledge-document-{width}-{scheme}")


# The requests


@pytest.fixture
def web(tmp_path: Path) -> Iterator[TestClient]:
    """Of a page whose visitors are not at its machine."""
    app = Starlette(routes=knowledge_routes(PageKnowledge(takes_folders=False, root=tmp_path / "collections")))
    app.auth, app.auth_dependency = None, None  # type: ignore[attr-defined]
    with TestClient(app) as client:
        yield client


def made_by(web: TestClient, encoder: str = "") -> str:
    return web.post("/page/knowledge/make", json={"name": "Notes", "encoder": encoder}).json()["result"]


def state_of(web: TestClient) -> dict:
    return web.post("/page/knowledge", json={}).json()["collections"][0]


def is_done(web: TestClient) -> bool:
    return not state_of(web)["update"]["running"]


def test_who_is_not_at_the_machine_uploads_files_and_names_no_paths(web: TestClient, tmp_path: Path):
    id = made_by(web)
    refused = web.post("/page/knowledge/add", json={"id": id, "path": str(tmp_path)})
    assert refused.status_code == 400 and refused.json()["error"]["key"] == "knowledge.uploads_only"
    assert web.post("/page/knowledge", json={}).json()["folders"] is False
    address = "/page/knowledge/add_file"
    assert web.put(address, params={"id": id, "name": "a.pdf"}, content=pdf("Page")).status_code == 200
    for name in ("../a.txt", ".hidden", "", "/etc/x"):
        assert web.put(address, params={"id": id, "name": name}, content=b"x").status_code == 400
    assert web.put(address, params={"id": "..", "name": "a"}, content=b"x").status_code == 400
    web.post("/page/knowledge/update", json={"id": id})
    assert eventually(lambda: is_done(web)) and state_of(web)["documents"] == 1
    document = web.post("/page/knowledge/document", json={"id": id, "document": 1}).json()
    assert document == {"name": "a.pdf", "text": "Page"}
    gone = web.post("/page/knowledge/document", json={"id": id, "document": 9})
    assert gone.json()["error"]["key"] == "knowledge.document_gone"


def test_another_site_can_make_nothing(web: TestClient):
    for path in ("", "/make", "/add", "/update", "/delete", "/document"):
        assert web.post(f"/page/knowledge{path}", content="{}").status_code == 415
        assert web.get(f"/page/knowledge{path}").status_code == 405


def test_what_is_wrong_is_one_sentence(web: TestClient):
    assert made_by(web, "") and web.post("/page/knowledge/make", json={"name": "Notes", "encoder": ""}).json()["error"]
    wrong = web.post("/page/knowledge/make", json={"name": "Other", "encoder": "no such encoder"}).json()
    assert wrong["error"]["key"] == "encoder.unknown"
    assert web.post("/page/knowledge/update", json={"id": "gone"}).json()["error"]["key"] == "knowledge.gone"
    assert web.post("/page/knowledge/document", json={"id": "gone", "document": "1"}).status_code == 400
