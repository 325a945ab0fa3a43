"""Builds the book in three languages and checks it in a browser, as `make book` does.

python -m docs.book.build
"""

import shutil
import subprocess
import sys
from pathlib import Path

from docs.book.check import check_book

ROOT = Path(__file__).resolve().parents[2]
BOOK = ROOT / "build" / "book"
LANGUAGES = {"en": "English", "ja": "日本語", "zh_CN": "简体中文"}

# The page at the top leads on by the browser's language.
START = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>LLM chatbot</title><meta name="color-scheme" content="light dark">
<script>
  const language = { ja: "ja", zh: "zh_CN" }[navigator.language.slice(0, 2)] ?? "en";
  location.replace(language + "/docs/book/contents." + language + ".html");
</script>
<ul>
LINKS
</ul>
"""


def build(language: str) -> bool:
    """Writes the pages of a language.

    Returns:
        Whether Sphinx had nothing to warn of, such as a link that leads nowhere.
    """
    command = [sys.executable, "-m", "sphinx", "-b", "html", "--quiet", "--fail-on-warning", "--keep-going"]
    places = ["-c", "docs/book", "-d", f"build/doctrees/{language}", "-D", f"language={language}", "."]
    return subprocess.run([*command, *places, str(BOOK / language)], cwd=ROOT).returncode == 0


def main() -> int:
    shutil.rmtree(BOOK.parent, ignore_errors=True)
    if not all(map(build, LANGUAGES)):
        return 1
    links = (f'<li><a href="{key}/docs/book/contents.{key}.html">{name}</a>' for key, name in LANGUAGES.items())
    (BOOK / "index.html").write_text(START.replace("LINKS", "\n".join(links)), encoding="utf-8")
    problems = check_book(BOOK)
    print(*problems, sep="\n")
    print(f"{BOOK / 'index.html'}: " + (f"{len(problems)} problems" if problems else "no problems"))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
