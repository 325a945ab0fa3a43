"""The page's modules in a real browser: an empty page that serves them, without the rest of the page."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

from playwright.sync_api import Browser, Page

from llm_chatbot.page import server

FOLDER = Path(server.__file__).parent
SET_MODULE = 'async (name) => { window[name.split("/").at(-1)] = await import(`/web/${name}.js`); }'


class Handler(SimpleHTTPRequestHandler):
    """Serves the files of the package `page` with its content security policy; `/` is an empty page."""

    def do_GET(self) -> None:
        if self.path != "/":
            super().do_GET()
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>Modules</title><body></body>")

    def end_headers(self) -> None:
        self.send_header("Content-Security-Policy", server.CONTENT_SECURITY_POLICY)
        super().end_headers()

    def log_message(self, format: str, *arguments: Any) -> None:
        pass


@contextmanager
def open_modules(browser: Browser, *names: str) -> Iterator[Page]:
    """A page of the browser on which modules of the page are global variables.

    Args:
        names: paths of modules below page/web without ".js"; the variable for "store/presets" is `presets`.
    """
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(FOLDER))) as http:
        Thread(target=http.serve_forever, daemon=True).start()
        try:
            with browser.new_page() as page:
                page.goto(f"http://127.0.0.1:{http.server_port}/")
                for name in names:
                    page.evaluate(SET_MODULE, name)
                yield page
        finally:
            http.shutdown()
