"""Pictures on the page, from the box to the model and back out of the store, with a small model that reads them."""

import base64
import json
import re
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest
from PIL import ExifTags, Image
from playwright.sync_api import Browser, FilePayload, Locator, expect

from llm_chatbot.answering.models import open_loaded_model
from llm_chatbot.answering.pictures import MAX_PICTURES
from llm_chatbot.catalogue.rows import DEFAULT_MODEL
from llm_chatbot.convert.conversion import convert_model
from llm_chatbot.engine.vision.decoding import decoded
from llm_chatbot.folder.manifest import MANIFEST
from llm_chatbot.folder.place import model_folder
from tests.page.test_library import choose_file
from tests.page.test_losses import FULL
from tests.page_visit import Server, Visit
from tests.pictures import picture_file, random_picture

SEES = "tests/llava"
CAT, DOG = picture_file(120, 90), picture_file(60, 80, seed=1)

# Gives the page a file in an event of the clipboard or of the mouse.
GIVE = """([kind, content]) => {
  const bytes = Uint8Array.from(atob(content), (character) => character.charCodeAt(0));
  const data = new DataTransfer();
  data.items.add(new File([bytes], "image.png", { type: "image/png" }));
  const to = document.querySelector(kind === "paste" ? "#message textarea" : "#chat-page");
  const Kind = kind === "paste" ? ClipboardEvent : DragEvent;
  to.dispatchEvent(new Kind(kind, { clipboardData: data, dataTransfer: data, bubbles: true, cancelable: true }));
}"""


@pytest.fixture(scope="module")
def server(
    image_folder: Callable[[str], tuple[Path, Path]], tmp_path_factory: pytest.TempPathFactory, greedy: None
) -> Iterator[Server]:
    """A page whose own model reads pictures; the embedded one, which doesn't, can be chosen."""
    _, folder = image_folder("llava")
    root = tmp_path_factory.mktemp("models")
    convert_model(DEFAULT_MODEL, output_root=root)
    place = copytree(folder, model_folder(SEES, "FP16", root))
    manifest = json.loads((place / MANIFEST).read_text(encoding="utf-8"))
    (place / MANIFEST).write_text(json.dumps(manifest | {"name": SEES}), encoding="utf-8")
    server = Server(open_loaded_model(SEES, "FP16", "CPU", root), root)
    yield server
    server.stop()


@pytest.fixture
def visit(context: Any, server: Server) -> Visit:
    return Visit(context, server, max_new_tokens="6")


def attach(visit: Visit, *contents: bytes, name: str = "cat.png", place: str = "#composer") -> None:
    files: list[FilePayload] = [{"name": name, "mimeType": "image/png", "buffer": content} for content in contents]
    visit.page.set_input_files(f"{place} input[type=file]", files=files)


def give(visit: Visit, kind: str, content: bytes) -> None:
    visit.page.evaluate(GIVE, [kind, base64.b64encode(content).decode()])


def drafted(visit: Visit) -> Locator:
    return visit.page.locator("#composer .files img")


def sent(visit: Visit) -> Locator:
    return visit.page.locator(".message.user .files img")


def asked(server: Server) -> list[Any]:
    """The contents of the latest question's messages, as the model got them."""
    question = list(server.page.answering._answers.values())[-1].question
    return [message["content"] for message in question.messages]


def pictures(content: list[dict[str, Any]]) -> list[bytes]:
    return [part["image"] for part in content if part["type"] == "image"]


def choose_model(visit: Visit, name: str) -> None:
    visit.model.click()
    visit.page.locator(".model-menu .choice").filter(has_text=name).first.click()
    expect(visit.page.locator(".model-menu .model-loading")).to_contain_text("is ready")
    visit.page.keyboard.press("Escape")


def test_pictures_are_attached_pasted_and_dropped_and_the_model_gets_their_bytes(visit: Visit, server: Server):
    attach(visit, CAT)
    expect(drafted(visit)).to_have_count(1)
    give(visit, "paste", DOG)
    expect(drafted(visit)).to_have_count(2)
    give(visit, "drop", picture_file(30, 30, seed=2))
    expect(drafted(visit)).to_have_count(3)
    expect(visit.page.locator("#composer .hint[role=status]")).to_contain_text("About 27 tokens; there is room for")
    visit.screenshot("pictures-draft")
    visit.page.locator("#composer").get_by_role("button", name="Remove image.png").last.click()
    visit.reload()  # a draft is kept
    expect(drafted(visit)).to_have_count(2)
    visit.ask("What are these?")
    expect(drafted(visit)).to_have_count(0)
    expect(sent(visit)).to_have_count(2)
    content = asked(server)[0]
    assert pictures(content) == [CAT, DOG] and content[-1] == {"type": "text", "text": "What are these?"}


def test_a_picture_is_kept_with_its_conversation_and_opens_large(visit: Visit, server: Server):
    attach(visit, CAT)
    expect(drafted(visit)).to_have_count(1)
    visit.send("")  # alone
    visit.wait_for_end()
    visit.reload()
    sent(visit).click()
    dialog = visit.page.get_by_role("dialog", name="cat.png")
    expect(dialog.get_by_role("img", name="cat.png")).to_be_visible()
    expect(dialog).to_contain_text("120 × 90")
    visit.screenshot("picture-large")
    name, content = visit.download(dialog.get_by_role("button", name="Download").click)
    assert (name, content) == ("cat.png", CAT)
    dialog.get_by_role("button", name="Copy").click()
    expect(dialog.get_by_role("button", name="Copied")).to_be_visible()
    assert visit.page.evaluate("navigator.clipboard.read().then(([item]) => item.types)") == ["image/png"]
    visit.page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    visit.button("Regenerate").click()
    expect(visit.page.get_by_label("Version 2 of 2")).to_be_visible()
    visit.wait_for_end()
    assert pictures(asked(server)[0]) == [CAT]
    visit.open_panel("Conversations")
    visit.page.get_by_role("searchbox").fill("cat.png")
    expect(visit.page.locator(".found").first).to_contain_text("cat.png")


def test_pictures_of_a_question_are_changed_in_its_edit_box(visit: Visit, server: Server):
    attach(visit, CAT, DOG)
    expect(drafted(visit)).to_have_count(2)
    visit.ask("What is it?")
    visit.questions.last.hover()
    visit.button("Edit").click()
    edit = visit.page.locator(".edit")
    edit.get_by_role("button", name="Remove cat.png").first.click()
    attach(visit, CAT, name="new.png", place=".edit")
    expect(edit.get_by_role("img")).to_have_count(2)
    visit.screenshot("picture-edit")
    visit.page.keyboard.press("Control+Enter")
    expect(visit.page.get_by_label("Version 2 of 2")).to_be_visible()
    visit.wait_for_end()
    assert pictures(asked(server)[0]) == [DOG, CAT]
    visit.button("Previous version").click()
    expect(sent(visit).last).to_have_attribute("alt", "cat.png")


def test_what_is_larger_than_needed_is_scaled_down_and_says_so(visit: Visit, server: Server):
    small = BytesIO()
    Image.new("RGB", (3000, 1500), "teal").save(small, "PNG")
    turned, exif = BytesIO(), Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    random_picture(2200, 1100).save(turned, "JPEG", exif=exif)
    attach(visit, small.getvalue(), picture_file(900, 900), turned.getvalue())
    expect(drafted(visit)).to_have_count(3)
    expect(visit.page.locator("#composer .files small")).to_have_text(
        ["2048 × 1024, scaled down from 3000 × 1500", "900 × 900", "1024 × 2048, scaled down from 1100 × 2200"]
    )
    visit.ask("What is it?")
    files = pictures(asked(server)[0])
    assert [decoded(file).size for file in files] == [(2048, 1024), (900, 900), (1024, 2048)]
    assert all(len(file) <= 2**20 for file in files)


def test_what_cannot_be_read_is_a_sentence_and_the_rest_stays(visit: Visit):
    visit.box.fill("What is it?")
    attach(visit, CAT)
    attach(visit, CAT[:40], name="cut.png")
    expect(visit.notice).to_contain_text("cut.png can’t be read")
    attach(visit, b"x" * (20 * 2**20 + 1), name="huge.png")
    expect(visit.notice).to_contain_text("huge.png is larger than 20 MB")
    large = BytesIO()
    Image.new("1", (10_000, 5_001)).save(large, "PNG")
    attach(visit, large.getvalue(), name="wide.png")
    expect(visit.notice).to_contain_text("more than 50 million pixels")
    expect(drafted(visit)).to_have_count(1)
    attach(visit, *[CAT] * MAX_PICTURES)
    expect(drafted(visit)).to_have_count(MAX_PICTURES + 1)
    visit.box.press("Enter")
    expect(visit.page.locator("#composer").get_by_role("alert")).to_contain_text(f"more than {MAX_PICTURES} pictures")
    expect(visit.answers).to_have_count(0)
    visit.button("Remove cat.png").first.click()
    expect(visit.page.locator("#composer").get_by_role("alert")).to_have_count(0)
    expect(visit.box).to_have_value("What is it?")


def test_a_model_that_reads_no_pictures_says_so_before_anything_is_sent(visit: Visit, server: Server):
    choose_model(visit, DEFAULT_MODEL)
    attach(visit, CAT)
    warning = visit.page.locator("#composer .hint[role=status]")
    expect(warning).to_contain_text(re.compile(r"reads no pictures. These models do: tests/llava"))
    visit.send("What is it?")
    expect(visit.page.locator("#composer").get_by_role("alert")).to_contain_text("reads no pictures")
    expect(warning).to_be_hidden()  # it would say the same
    expect(visit.answers).to_have_count(0)
    visit.screenshot("picture-blind")
    choose_model(visit, SEES)
    expect(warning).to_contain_text("About 9 tokens")
    expect(visit.box).to_have_value("What is it?")
    visit.box.press("Enter")
    visit.wait_for_end()
    assert pictures(asked(server)[0]) == [CAT]
    choose_model(visit, DEFAULT_MODEL)  # it goes on, with words for the picture
    visit.ask("And now?")
    expect(visit.answers.last).to_have_attribute("data-finish", re.compile("stop|length"))


def test_pictures_are_exported_and_imported_again(visit: Visit, browser: Browser, server: Server):
    attach(visit, CAT)
    expect(drafted(visit)).to_have_count(1)
    visit.ask("What is it?")
    visit.open_panel("Conversations")
    for form, name in (("Export all (JSON)", "a.json"), ("Export current (Markdown)", "a.md")):
        _, content = visit.download(lambda form=form: visit.act_on_list(form))  # type: ignore[misc]
        with browser.new_context() as context:
            other = Visit(context, server)
            other.open_panel("Conversations")
            choose_file(other, name, content)
            other.names.first.click()
            expect(other.questions).to_have_text(["What is it?"])
            url = sent(other).get_attribute("src") or ""
            assert base64.b64decode(url.partition(",")[2]) == CAT, name
    _, content = visit.download(lambda: visit.act_on_list("Export current (HTML)"))
    with browser.new_context() as context:
        page = context.new_page()
        page.set_content(content.decode())
        expect(page.get_by_role("img", name="cat.png")).to_be_visible()
        assert page.evaluate("document.images[0].naturalWidth") == 120


def test_a_picture_for_which_storage_is_full_is_answered_and_saved_once_there_is_room(visit: Visit, server: Server):
    visit.page.evaluate(FULL)
    attach(visit, CAT)
    expect(drafted(visit)).to_have_count(1)
    visit.ask("What is it?")
    expect(visit.notice).to_contain_text("Browser storage is full")
    assert pictures(asked(server)[0]) == [CAT]
    visit.page.evaluate("makeRoom()")
    visit.ask("And now?")
    visit.reload()
    expect(sent(visit)).to_have_count(1)
    visit.ask("And then?")
    assert pictures(asked(server)[0]) == [CAT]


@pytest.mark.parametrize(
    ("locale", "mark", "sentence"),
    [
        ("en-US", "120 × 90 · not read", "no longer reads this picture, only the latest 16"),
        ("ja-JP", "120 × 90 · 読まれません", "最新の 16 枚だけ"),
        ("zh-CN", "120 × 90 · 不再读取", "最近的 16 张"),
    ],
)
def test_pictures_that_are_no_longer_read_say_so(browser: Browser, server: Server, locale: str, mark: str, sentence):
    with browser.new_context(locale=locale) as context:
        visit = Visit(context, server)
        attach(visit, CAT, DOG)
        expect(drafted(visit)).to_have_count(2)
        visit.ask("1")
        unread = visit.page.locator(".message.user .files .unread")
        expect(unread).to_have_count(0)
        attach(visit, *[DOG] * (MAX_PICTURES - 1))
        expect(drafted(visit)).to_have_count(MAX_PICTURES - 1)
        visit.ask("2")
        expect(unread).to_have_count(1)  # of the earlier message, without opening the conversation again
        expect(unread).to_have_text(mark)
        first, _, last = asked(server)
        assert pictures(first) == [DOG] and len(pictures(last)) == MAX_PICTURES - 1
        unread.get_by_role("button").click()
        expect(visit.page.get_by_role("dialog")).to_contain_text(sentence)
        visit.screenshot(f"picture-unread-{locale}")
        visit.page.keyboard.press("Escape")
        assert visit.serious_problems() == []
        visit.reload()
        expect(unread).to_have_count(1)


@pytest.mark.parametrize(("locale", "scheme"), [("en-US", "light"), ("ja-JP", "dark"), ("zh-CN", "light")])
def test_on_a_phone_by_keyboard_alone_and_for_everybody(browser: Browser, server: Server, locale: str, scheme: Any):
    with browser.new_context(viewport={"width": 390, "height": 800}, locale=locale, color_scheme=scheme) as context:
        visit = Visit(context, server)
        attach(visit, CAT, picture_file(900, 200, seed=3))
        expect(drafted(visit)).to_have_count(2)
        visit.screenshot(f"pictures-390-{locale}")
        assert visit.serious_problems() == []
        visit.box.focus()
        visit.page.keyboard.type("?")
        for _ in range(2):  # to the remove button of the last picture
            visit.page.keyboard.press("Shift+Tab")
        visit.page.keyboard.press("Enter")
        expect(drafted(visit)).to_have_count(1)
        visit.page.keyboard.press("Enter")
        visit.wait_for_end()
        sent(visit).locator("xpath=..").focus()
        visit.page.keyboard.press("Enter")
        expect(visit.page.get_by_role("dialog", name="cat.png")).to_be_visible()
        visit.screenshot(f"picture-large-390-{locale}")  # when it has come in whole
        assert visit.serious_problems() == []
        visit.page.keyboard.press("Escape")
        expect(sent(visit).locator("xpath=..")).to_be_focused()
        assert visit.page.evaluate("document.documentElement.scrollWidth") == 390
        visit.screenshot(f"picture-sent-390-{locale}")
