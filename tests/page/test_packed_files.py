"""The page's own files are compressed, and are what they are."""

from pathlib import Path

import brotli
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.testclient import TestClient

from llm_chatbot.page.packed_files import PackedFiles


def client(folder: Path) -> TestClient:
    return TestClient(Starlette(routes=[Mount("/web", PackedFiles(directory=folder))]))


def test_scripts_and_styles_are_compressed_where_a_browser_accepts_it(tmp_path: Path):
    content = "export const one = 1;\n" * 100
    (tmp_path / "main.js").write_text(content, encoding="utf-8")
    (tmp_path / "letters.woff2").write_bytes(content.encode())
    web = client(tmp_path)
    with web.stream("GET", "/web/main.js", headers={"accept-encoding": "gzip, br"}) as response:
        packed = b"".join(response.iter_raw())
    assert response.headers["content-encoding"] == "br" and response.headers["vary"] == "accept-encoding"
    assert "javascript" in response.headers["content-type"] and len(packed) < 100
    assert brotli.decompress(packed).decode() == content
    plain = web.get("/web/main.js", headers={"accept-encoding": "gzip"})
    assert plain.text == content and "content-encoding" not in plain.headers
    assert "content-encoding" not in web.get("/web/letters.woff2", headers={"accept-encoding": "br"}).headers
    assert web.get("/web/none.js", headers={"accept-encoding": "br"}).status_code == 404


def test_a_file_that_a_browser_has_is_not_sent_again_and_a_changed_one_is(tmp_path: Path):
    file = tmp_path / "main.js"
    file.write_text("one", encoding="utf-8")
    web = client(tmp_path)
    first = web.get("/web/main.js", headers={"accept-encoding": "br"})
    known = {"accept-encoding": "br", "if-none-match": first.headers["etag"]}
    assert web.get("/web/main.js", headers=known).status_code == 304
    file.write_text("another", encoding="utf-8")
    assert web.get("/web/main.js", headers=known).text == "another"
