import hashlib

from llm_chatbot.page.vendor_libraries import LIBRARIES, VENDOR, checksums, readme


def test_every_file_is_the_one_that_npm_gave():
    listed = dict(reversed(line.split("  ")) for line in (VENDOR / "SHA256SUMS").read_text().splitlines())
    found = {path.relative_to(VENDOR).as_posix(): path for path in VENDOR.rglob("*") if path.is_file()}
    assert set(listed) == set(found) - {"SHA256SUMS"}
    for name, digest in listed.items():
        assert hashlib.sha256(found[name].read_bytes()).hexdigest() == digest, name


def test_every_library_is_there_with_its_licence_and_version():
    assert (VENDOR / "README.md").read_text(encoding="utf-8") == readme()
    for library in LIBRARIES:
        assert (VENDOR / "licences" / f"{library.short_name}.txt").stat().st_size > 500
        for name in (*library.copied.values(), *library.built.values()):
            assert (VENDOR / name).exists(), name


def test_what_the_first_page_needs_is_small():
    names = ("markdown-it.js", "tasklist.js", "dompurify.js", "idb.js")
    assert sum((VENDOR / name).stat().st_size for name in names) < 250_000


def test_no_file_asks_another_host():
    for path in VENDOR.rglob("*.css"):
        assert "url(http" not in path.read_text(encoding="utf-8")
    for path in VENDOR.rglob("*.js"):
        text = path.read_text(encoding="utf-8")
        assert "sourceMappingURL" not in text.rstrip().rpartition("\n")[2][:200], path
        assert 'from "http' not in text and 'import("http' not in text, path


def test_checksums_are_those_of_sha256sum(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b.txt").write_bytes(b"abc")
    assert checksums(tmp_path) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  a/b.txt\n"
