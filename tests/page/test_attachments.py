"""attachments.js and parts.js in page/web/composer in a real browser, with files that are made here."""

import base64
import io
import zipfile
from typing import Any

import pytest
from playwright.sync_api import Page

from llm_chatbot.evaluation.texts import passages
from tests.document_files import docx, japanese_pdf, pdf

READ = """async ([name, content, language]) => {
    const bytes = Uint8Array.from(atob(content), (character) => character.charCodeAt(0));
    try {
        return await attachments.readFile(new File([bytes], name), language);
    } catch (error) {
        if (!(error instanceof attachments.UnreadableFile)) throw error;
        return { key: error.key, values: error.values };
    }
}"""


def read(page: Page, name: str, content: bytes, language: str = "en") -> dict[str, Any]:
    return page.evaluate(READ, [name, base64.b64encode(content).decode(), language])


def archive_without_document() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.txt", "text")
    return file.getvalue()


def test_text_and_code_are_read_in_their_encoding(modules: Page):
    assert read(modules, "a.txt", "\ufeffHélló\r\nworld\n".encode())["text"] == "Hélló\nworld"
    assert read(modules, "a.txt", "Hello".encode("utf-16"))["text"] == "Hello"
    assert read(modules, "a.txt", "日本語".encode("shift_jis"), "ja")["text"] == "日本語"
    assert read(modules, "a.txt", "中文文件".encode("gb18030"), "zh")["text"] == "中文文件"
    assert read(modules, "a.txt", "café".encode("latin-1"))["text"] == "café"
    code = read(modules, "a.py", b"print('<b>')\n")
    assert code == {"name": "a.py", "kind": "code", "text": "print('<b>')", "characters": 12}
    assert read(modules, "Makefile", b"all:\n\tcc")["text"] == "all:\n\tcc"
    assert read(modules, "data.csv", b"a,b\n1,2")["kind"] == "text"


def test_of_html_the_text_is_read_and_nothing_runs(modules: Page):
    modules.evaluate("window.ran = 0")
    requests: list[str] = []
    modules.on("request", lambda request: requests.append(request.url))
    source = (
        b"<title>t</title><style>p {}</style><script>window.ran = 1</script><h2>Head</h2><p>One <b>two</b>\n three<br>"
        b"four</p><img src='http://127.0.0.2/x.png' onerror='window.ran = 1'><ul><li>a<li>b</ul><pre>  x\n  y</pre>"
        b"<table><tr><td>1<td>2</table>"
    )
    text = read(modules, "a.html", source)["text"]
    assert text == "## Head\n\nOne two three\nfour\n\n- a\n- b\n\n  x\n  y\n\n1\t2"
    assert modules.evaluate("window.ran") == 0 and requests == []


def test_of_a_pdf_the_text_of_its_pages_is_read(modules: Page):
    found = read(modules, "a.pdf", pdf("Page one has an exam-\nple", "Page two"))
    assert found["kind"] == "pdf" and found["text"] == "Page one has an example\fPage two"


def test_a_pdf_with_an_east_asian_encoding_is_read(modules: Page):
    assert read(modules, "a.pdf", japanese_pdf())["text"] == "日本語の文書"


def test_of_a_docx_headings_lists_and_tables_are_read(modules: Page):
    def paragraph(text: str, style: str = "") -> str:
        properties = f'<w:pPr><w:pStyle w:val="{style}"/></w:pPr>' if style else ""
        return f"<w:p>{properties}<w:r><w:t>{text}</w:t></w:r></w:p>"

    row = f"<w:tr><w:tc>{paragraph('1')}</w:tc><w:tc>{paragraph('2')}</w:tc></w:tr>"
    found = read(modules, "a.docx", docx(paragraph("Head", "Heading1") + paragraph("Text") + f"<w:tbl>{row}</w:tbl>"))
    assert found["kind"] == "docx" and found["text"] == "# Head\n\nText\n\n1\t2"


@pytest.mark.parametrize(
    ("name", "content", "key"),
    [
        ("a.txt", b"", "file_empty"),
        ("a.png", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "file_not_text"),
        ("a.bin", bytes(range(1, 256)), "file_not_text"),
        ("a.pdf", b"no pdf", "file_damaged"),
        ("a.pdf", pdf(""), "file_no_text"),
        ("a.docx", b"no archive", "file_damaged"),
        ("a.docx", b"PK\x03\x04 no archive", "file_damaged"),
        ("a.docx", archive_without_document(), "file_damaged"),
        ("a.txt", b"a" * 2_000_001, "file_too_long"),
    ],
    ids=range(9),
)
def test_what_cannot_be_read_is_named(modules: Page, name: str, content: bytes, key: str):
    found = read(modules, name, content)
    assert found["key"] == key and found["values"]["name"] == name


def test_a_pdf_with_a_password_is_named(modules: Page):
    encrypted = f"/Encrypt << /Filter /Standard /V 1 /R 2 /O <{'00' * 32}> /U <{'00' * 32}> /P -4 >> /ID [<00> <00>]"
    assert read(modules, "a.pdf", pdf("secret", extra=encrypted))["key"] == "file_encrypted"


def test_a_file_that_is_too_large_is_not_opened(modules: Page):
    opened = """async () => {
        const file = { name: "a.txt", size: attachments.MAX_BYTES + 1, arrayBuffer: () => { throw Error("opened"); } };
        return attachments.readFile(file).catch((error) => [error.key, error.values.limit]);
    }"""
    assert modules.evaluate(opened) == ["file_too_large", 20]


PASTE = """(content) => {
    const clipboardData = new DataTransfer();
    clipboardData.setData("text/plain", content);
    clipboardData.items.add(new File(["x"], "image.png", { type: "image/png" }));
    const event = new ClipboardEvent("paste", { clipboardData, cancelable: true });
    const room = { ofPicture: () => 0, unseen: () => "" };
    attach.attachView({ store: {}, room, left: () => null, say: () => {}, changed: () => {} }).paste(event);
    return event.defaultPrevented;
}"""


def test_of_what_an_office_program_copied_the_text_is_pasted_and_not_its_picture(modules: Page):
    assert not modules.evaluate(PASTE, "A1\tB1") and modules.evaluate(PASTE, "")


def test_the_model_reads_each_file_between_fences_before_the_question(modules: Page):
    files = [{"name": "a.md", "text": "```\nx\n```"}, {"name": "b.pdf", "text": "one\ftwo"}]
    text = modules.evaluate("(files) => message_text.asMessageText(files, 'What is it?')", files)
    assert text == "a.md:\n\n````\n```\nx\n```\n````\n\nb.pdf:\n\n```\none\n\ntwo\n```\n\nWhat is it?"
    assert modules.evaluate("message_text.asMessageText([], 'Only this')") == "Only this"


def test_tokens_are_estimated_near_what_tokenizers_count(modules: Page, tokenizer):
    def estimate(text: str) -> int:
        return modules.evaluate("(text) => message_text.estimateTokens(text)", text)

    texts = passages()
    for language in ("en", "code"):
        assert estimate(texts[language]) == pytest.approx(len(tokenizer(texts[language])["input_ids"]), rel=0.15)
    assert estimate("日本語") == 3 and estimate("") == 0


def test_a_text_never_has_fewer_tokens_than_are_counted_on(modules: Page, tokenizer):
    rules = "=" * 640 + "\n" + "- " * 50 + "\n" + " " * 500
    for text in (*passages().values(), "日本語の文書です。" * 20, rules, "x" * 500, "😀" * 50):
        fewest = modules.evaluate("(text) => message_text.fewestTokens(text)", text)
        assert 0 < fewest <= len(tokenizer(text)["input_ids"])
    assert modules.evaluate("message_text.fewestTokens('word '.repeat(9000))") == 9000


PARTS = "([text, limit]) => parts.parts(text, limit).map(({ key, values, text }) => [key, values, text])"


@pytest.mark.parametrize(
    "text",
    ["", "one\ftwo is long\fthree", "# A\n\ntext\n\n## B\n\n" + "words and words. " * 9, "a\nb\n\nc\n" * 20, "x" * 95,
     "# A\nx\f" + "y\n" * 40 + "\fz", "日本語の文。" * 20],
    ids=range(7),
)  # fmt: skip
def test_parts_are_the_whole_text_and_none_is_too_long(modules: Page, text: str):
    found = modules.evaluate(PARTS, [text, 20])
    assert "".join(part for _, _, part in found) == text
    assert all(0 < len(part) <= 20 for _, _, part in found)


def test_parts_are_named_by_pages_headings_and_lines(modules: Page):
    assert modules.evaluate(PARTS, ["aa\fbb\fcccc\f" + "dd " * 5, 7]) == [
        ["part_pages", {"from": 1, "to": 2}, "aa\fbb\f"],
        ["part_page", {"page": 3}, "cccc\f"],
        ["part_of_page", {"page": 4, "part": 1}, "dd dd "],
        ["part_of_page", {"page": 4, "part": 2}, "dd dd "],
        ["part_of_page", {"page": 4, "part": 3}, "dd "],
    ]
    names = [part[:2] for part in modules.evaluate(PARTS, ["intro\n# One\na\n# Two\n" + "bbbb\n" * 3, 12])]
    assert names == [
        ["part_lines", {"from": 1, "to": 1}],
        ["part_heading", {"title": "One"}],
        ["part_of_heading", {"title": "Two", "part": 1}],
        ["part_of_heading", {"title": "Two", "part": 2}],
    ]
    lines = [part[1] for part in modules.evaluate(PARTS, ["a\nb\n\nc\nd\n", 5])]
    assert lines == [{"from": 1, "to": 3}, {"from": 4, "to": 5}]
