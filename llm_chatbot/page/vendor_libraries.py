"""Fetches the libraries of the page from npm into llm_chatbot/page/vendor: `make vendor`.

The result is committed, so that neither an installation nor the page needs npm or a connection. A library comes as the
ES module that it ships; where that is not minified, or there is none, esbuild makes one.
"""

import hashlib
import json
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from llm_chatbot.errors import UserError

VENDOR = Path(__file__).resolve().parent / "vendor"
ESBUILD = "esbuild@0.28.2"


@dataclass(frozen=True)
class Library:
    """A package on npm and what the page takes from it.

    Attributes:
        name, version, sha256: of the package's archive.
        licence: by its SPDX name, and `licence_file` has its text.
        purpose: what the page uses it for.
        copied: files or folders of the package → their names in llm_chatbot/page/vendor.
        built: modules of the package that esbuild minifies → their names in llm_chatbot/page/vendor.
    """

    name: str
    version: str
    sha256: str
    licence: str
    purpose: str
    copied: dict[str, str] = field(default_factory=dict)
    built: dict[str, str] = field(default_factory=dict)
    licence_file: str = "LICENSE"

    @property
    def short_name(self) -> str:
        return self.name.rpartition("/")[2]


# Of Inter: a browser fetches those files whose letters a page shows; web/theme.css says which they are.
LETTERS = ("latin", "latin-ext", "cyrillic", "greek")

LIBRARIES = (
    Library(
        "markdown-it",
        "15.0.3",
        "98a7453983ab0e268c17dbd5260bf7190ba46b4cca912327fc1c1a2578e4b56d",
        "MIT",
        "Markdown",
        copied={"dist/browser/markdown-it.esm.min.mjs": "markdown-it.js"},
    ),
    Library(
        "@mdit/plugin-tasklist",
        "0.23.2",
        "8fd953711ec3db8b60d4bdf9d35b921c71d5835957b3b741f9f5fbf9d4196e17",
        "MIT",
        "task lists in Markdown",
        copied={"dist/index.js": "tasklist.js"},
    ),
    Library(
        "get-east-asian-width",
        "1.7.0",
        "371c7b094731ec5848025a7139eb05facc23cf18bd56ed8f755364e4b90ebd35",
        "MIT",
        "which characters are Chinese, Japanese or Korean, for markdown-it-cjk-friendly",
        licence_file="license",
    ),
    Library(
        "markdown-it-cjk-friendly",
        "3.0.0",
        "4b9f27ab17f23bb56a8cfa685972f1e9cd8e111dbf530a5a44cc511103ecd44c",
        "MIT",
        "bold beside Chinese and Japanese punctuation",
        built={"dist/index.js": "cjk-friendly.js"},
    ),
    Library(
        "dompurify",
        "3.4.18",
        "8b86f79c6481fec23dd81d4de32179422668912ed033c0c47e786a6e70cb3379",
        "Apache-2.0",
        "keeps what could run out of messages",
        built={"dist/purify.es.mjs": "dompurify.js"},
    ),
    Library(
        "idb",
        "8.0.4",
        "569a715333d656d77792476083647eaefeb27b23d18bff226ad42776efb8f08a",
        "ISC",
        "the browser's database",
        built={"build/index.js": "idb.js"},
    ),
    Library(
        "@highlightjs/cdn-assets",
        "11.12.0",
        "b8a006d30f45afe783072569f3d69c5b60c0e7b9ca28cd474e12f2584e2a3bd9",
        "BSD-3-Clause",
        "colours of code",
        copied={"es/highlight.min.js": "highlight.js"},
    ),
    Library(
        "katex",
        "0.19.1",
        "24da5a599eb2fcede2e270b99a6ff48bca816beecc95feeb84e8cccbd1bb34fd",
        "MIT",
        "formulas",
        copied={"dist/katex.min.css": "katex/katex.css", "dist/fonts": "katex/fonts"},
        built={"dist/katex.mjs": "katex/katex.js"},
    ),
    Library(
        "pdfjs-dist",
        "6.5.438",
        "7461aefcd27c4ef0dd76f9ca5760f09466eb6b3f934432670c12132e7b3d6faa",
        "Apache-2.0",
        "the text of PDF files",
        copied={
            "legacy/build/pdf.min.mjs": "pdf/pdf.js",
            "legacy/build/pdf.worker.min.mjs": "pdf/pdf.worker.js",
            "cmaps": "pdf/cmaps",  # the encodings of Chinese, Japanese and Korean fonts that a file does not contain
        },
    ),
    Library(
        "mammoth",
        "1.13.0",
        "fe778792e43b06dbbff93d20e22951fe1bc55a05eb04ec823961e8639c62260b",
        "BSD-2-Clause",
        "the text of DOCX files",
        built={"mammoth.browser.min.js": "mammoth.js"},
    ),
    Library(
        "mermaid",
        "11.17.2",
        "6ad2f42c3fc26bbf9e45cbb6d11898972573ea52b33a5f4ff51952899f950ffd",
        "MIT",
        "diagrams, in a frame of their own",
        copied={"dist/mermaid.min.js": "mermaid.js"},
    ),
    Library(
        "@fontsource-variable/inter",
        "5.3.0",
        "d26710dd38e7217484a1d47ee76c024977ec550548876f26d06ed1844af09a14",
        "OFL-1.1",
        "the letters of the page",
        copied={f"files/inter-{letters}-wght-normal.woff2": f"inter/{letters}.woff2" for letters in LETTERS},
    ),
)


def vendor_libraries() -> None:
    """Writes all libraries, their licences and the list of both to page/vendor, in the place of what was there.

    Raises:
        UserError: npm is missing or failed, or a package is not the one that was pinned.
    """
    with tempfile.TemporaryDirectory() as folder:
        work, new = Path(folder), Path(folder) / "vendor"
        npm("install", "--prefix", str(work), "--no-save", ESBUILD, folder=work)
        for library in LIBRARIES:
            add_library(library, unpacked(library, work), work, new)
        keep_woff2_fonts(new / "katex")
        (new / "README.md").write_text(readme(), encoding="utf-8")
        (new / "SHA256SUMS").write_text(checksums(new), encoding="utf-8")
        shutil.rmtree(VENDOR, ignore_errors=True)
        shutil.copytree(new, VENDOR)


def npm(*arguments: str, folder: Path) -> str:
    program = shutil.which("npm")
    if program is None:
        raise UserError("vendor.no_npm")
    done = subprocess.run(
        [program, *arguments, "--silent", "--ignore-scripts"], cwd=folder, capture_output=True, encoding="utf-8"
    )
    if done.returncode:
        reason = done.stderr.strip() or done.stdout.strip()
        raise UserError("vendor.npm_failed", command=f"{arguments[0]} {arguments[-1]}", reason=reason)
    return done.stdout


def unpacked(library: Library, work: Path) -> Path:
    """The folder with the content of the library's package, where those that come after it find it too."""
    package = f"{library.name}@{library.version}"
    packed = json.loads(npm("pack", "--json", package, folder=work))
    (entry,) = packed.values() if isinstance(packed, dict) else packed  # npm 11 and before: a list
    archive = work / entry["filename"]
    if hashlib.sha256(archive.read_bytes()).hexdigest() != library.sha256:
        raise UserError("vendor.other_package", package=package, file=Path(__file__).name)
    folder = work / library.short_name
    with tarfile.open(archive) as content:
        content.extractall(folder, filter="data")
    shutil.copytree(folder / "package", work / "node_modules" / library.name, dirs_exist_ok=True)
    return folder / "package"


def add_library(library: Library, package: Path, work: Path, new: Path) -> None:
    for source, name in {**library.copied, **library.built}.items():
        path = new / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if source in library.built:
            minify(package / source, path, work)
        elif (package / source).is_dir():
            shutil.copytree(package / source, path)
        else:
            path.write_bytes(without_source_map((package / source).read_bytes()))
    licences = new / "licences"
    licences.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(package / library.licence_file, licences / f"{library.short_name}.txt")


def minify(source: Path, target: Path, work: Path) -> None:
    """Writes a module and all that it imports as one minified ES module."""
    esbuild = work / "node_modules" / "esbuild" / "bin" / "esbuild"
    options = [
        "--bundle",
        "--minify",
        "--format=esm",
        "--target=es2022",
        "--legal-comments=inline",
        "--log-level=error",
    ]
    subprocess.run(["node", str(esbuild), str(source), *options, f"--outfile={target}"], check=True)


def without_source_map(content: bytes) -> bytes:
    """A script that does not name a source map, which browsers would look for."""
    return re.sub(rb"\n?//# sourceMappingURL=\S+\s*$", b"\n", content)


def keep_woff2_fonts(katex: Path) -> None:
    """Leaves out the older formats of KaTeX's fonts: every browser that runs the page reads woff2."""
    for path in (katex / "fonts").iterdir():
        if path.suffix != ".woff2":
            path.unlink()
    style = katex / "katex.css"
    css = style.read_text(encoding="utf-8")
    css = re.sub(r',url\(fonts/[\w-]+\.(?:woff|ttf)\) format\("\w+"\)', "", css)
    style.write_text(css, encoding="utf-8")


def readme() -> str:
    rows = [
        f"| {library.name} | {library.version} | {library.purpose} "
        f"| [{library.licence}](licences/{library.short_name}.txt) | `{library.sha256}` |"
        for library in LIBRARIES
    ]
    return "\n".join(
        [
            "# Libraries of the page",
            "",
            "`make vendor` writes this folder by `llm_chatbot/page/vendor_libraries.py`: "
            "change versions there, and nothing here.",
            "`SHA256SUMS` lists every file; `sha256sum -c SHA256SUMS` checks them.",
            "",
            "| npm package | version | used for | licence | SHA-256 of the package |",
            "|---|---|---|---|---|",
            *rows,
            "",
        ]
    )


def checksums(folder: Path) -> str:
    """A line for each file, as `sha256sum` writes it."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return "".join(
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(folder).as_posix()}\n" for path in paths
    )


def main() -> int:
    try:
        vendor_libraries()
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
