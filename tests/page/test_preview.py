"""The drawing of code, in a frame that reaches neither the network nor the page: page/web/markdown/preview.js."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from playwright.sync_api import FrameLocator, expect

from tests.page_visit import Server, Visit


@pytest.fixture
def listener() -> Iterator[tuple[str, list[str]]]:
    """A server elsewhere: its address, and what was asked of it."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    server.server_close()


def preview(visit: Visit, language: str, code: str) -> FrameLocator:
    """The frame with what a block of code in an answer draws."""
    answer = {"id": "a", "parent": "q", "role": "assistant", "content": f"```{language}\n{code}\n```"}
    question = {"id": "q", "parent": None, "role": "user", "content": "Draw."}
    file = {"conversations": [{"id": "1", "name": "A drawing", "messages": [question, answer]}]}
    visit.open_panel("Conversations")
    visit.page.locator("#library-panel input[type=file]").set_input_files(
        {"name": "a.json", "mimeType": "text/plain", "buffer": json.dumps(file).encode()}
    )
    visit.button("A drawing").click()
    visit.button("Preview").click()
    return visit.page.frame_locator("iframe.preview")


HOSTILE = """<p id="said">start</p><img src="ADDRESS/image"><link rel="stylesheet" href="ADDRESS/style">
<script>
const said = [];
const attempt = async (name, act) => { try { await act(); said.push(name); } catch {} };
(async () => {
  await attempt("fetch", () => fetch("ADDRESS/fetch"));
  await attempt("server", () => fetch("OWN/page/state.json", { mode: "no-cors" }));
  await attempt("page", () => parent.document.title);
  await attempt("storage", () => localStorage.length);
  await attempt("database", () => new Promise((go, no) => {
    const asked = indexedDB.open("llm-chatbot"); asked.onsuccess = go; asked.onerror = no; }));
  await attempt("top", () => { top.location = "ADDRESS/top"; });
  await attempt("popup", () => { if (!open("ADDRESS/popup")) throw 0; });
  navigator.sendBeacon?.("ADDRESS/beacon");
  document.querySelector("#said").textContent = `reached: ${said.join(" ")}.`;
  setTimeout(() => (location.href = "ADDRESS/leaves"), 1000);
})();
</script>"""


def test_a_preview_reaches_neither_the_network_nor_the_page(
    visit: Visit, server: Server, listener: tuple[str, list[str]]
):
    address, asked = listener
    visit.page.evaluate("localStorage.setItem('secret', '1')")
    title = visit.page.title()
    frame = preview(visit, "html", HOSTILE.replace("ADDRESS", address).replace("OWN", server.address))
    expect(frame.locator("#said")).to_have_text("reached: .")
    visit.page.wait_for_timeout(1500)  # in which it tries to leave, and a request would arrive
    assert asked == []
    assert visit.page.title() != title and visit.page.url.startswith("http://127.0.0.1")
    expect(visit.questions).to_have_text(["Draw."])


def test_html_svg_and_mermaid_are_drawn(visit: Visit):
    frame = preview(visit, "svg", '<svg xmlns="http://www.w3.org/2000/svg"><circle r="9" /></svg>')
    expect(frame.locator("circle")).to_have_count(1)
    visit.button("Preview").click()
    expect(visit.page.locator("iframe.preview")).to_have_count(0)


def test_a_diagram_of_mermaid_is_drawn(visit: Visit):
    frame = preview(visit, "mermaid", "graph LR\n  Question --> Answer")
    expect(frame.locator("svg .node")).to_have_count(2)
    visit.screenshot("mermaid")
