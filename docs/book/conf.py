"""Sphinx's settings for the book: the lesson with its stored outputs, and the docs, as pages that need no network.

`python -m docs.book.build` builds it once for each language, which `-D language=…` names.
"""

import json
import re
from typing import Any

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.search import SearchLanguage

from docs.book.pairs import SPLIT_QUERY, is_cjk, terms

LESSONS = {"en": "llm-chatbot", "ja": "docs/llm-chatbot.ja", "zh_CN": "docs/llm-chatbot.zh"}
# A link to a lesson, in another language's book than the one that is built.
LESSON_LINK = re.compile(r"\[([^\]\[]+)\]\((?:\.\./|docs/)*(llm-chatbot(?:\.ja|\.zh)?)\.ipynb\)")
ANCHOR = re.compile(r"(?<=\]\(#)[^)]+")  # JupyterLab's have capitals, Sphinx's have not
PASSAGES = "llm_chatbot/evaluation/passages/README.md"
WIDGET = "application/vnd.jupyter.widget-view+json"

project = "LLM chatbot"
copyright = ""
extensions = ["myst_nb"]
html_theme = "furo"
html_title = "LLM chatbot"
html_show_sphinx = False
html_show_copyright = False
html_copy_source = False
html_show_search_summary = False  # which is fetched, and browsers fetch nothing for a page that is opened as a file
html_static_path = ["static"]
html_css_files = ["book.css"]
html_math_renderer = "mathml"  # browsers draw it themselves; MathJax would come from a foreign host
templates_path: list[str] = []

nb_execution_mode = "off"  # the outputs are those that the notebooks hold
nb_ipywidgets_js: dict[str, Any] = {}  # which would come from a foreign host; nothing runs here that would answer it
nb_merge_streams = True
myst_heading_anchors = 4
myst_enable_extensions = ["dollarmath"]
myst_dmath_allow_digits = False
myst_dmath_allow_space = False
suppress_warnings = ["myst.header"]


def choose_pages(app: Sphinx, config: Config) -> None:
    """The pages of this language: its contents and lesson, and all documents, which are English."""
    contents = f"docs/book/contents.{config.language}"
    config.root_doc = contents  # type: ignore[attr-defined]
    shared = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "docs/*.md", "findings/README.md", PASSAGES)
    config.include_patterns = [f"{contents}.md", f"{LESSONS[config.language]}.ipynb", *shared]  # type: ignore[attr-defined]


def prepare_source(app: Sphinx, page: str, source: list[str]) -> None:
    """Leads links to a lesson in another language into its book, and leaves out widgets, which nothing runs."""
    up = "../" * (page.count("/") + 1)
    own = LESSONS[app.config.language].rpartition("/")[2]

    def linked(match: re.Match[str]) -> str:
        language, lesson = next(item for item in LESSONS.items() if item[1].rpartition("/")[2] == match[2])
        return match[0] if match[2] == own else f"<a href='{up}{language}/{lesson}.html'>{match[1]}</a>"

    text = LESSON_LINK.sub(linked, source[0])
    if page == LESSONS[app.config.language]:
        text = json.dumps(without_widgets(json.loads(ANCHOR.sub(lambda match: match[0].lower(), text))))
    source[0] = text


def without_widgets(notebook: dict[str, Any]) -> dict[str, Any]:
    for cell in notebook["cells"]:
        outputs = cell.get("outputs", [])
        outputs[:] = [output for output in outputs if WIDGET not in output.get("data", {})]
    notebook["metadata"].pop("widgets", None)
    return notebook


def write_math(translator: Any, node: nodes.Element) -> None:
    """Formulas as MathML."""
    translator.body.append(tex2mathml(node.astext(), as_block=isinstance(node, nodes.math_block)))
    raise nodes.SkipNode


class PairSearch(SearchLanguage):
    """See `docs.book.pairs`."""

    js_splitter_code = SPLIT_QUERY

    def split(self, input: str) -> list[str]:
        return list(terms(input))

    def stem(self, word: str) -> str:
        return word.lower()

    def word_filter(self, word: str) -> bool:
        return len(word) > 1 or is_cjk(word)


class JapaneseSearch(PairSearch):
    lang = "ja"
    language_name = "Japanese"


class ChineseSearch(PairSearch):
    lang = "zh"
    language_name = "Chinese"


def setup(app: Sphinx) -> None:
    app.add_html_math_renderer("mathml", (write_math, None), (write_math, None))
    app.add_search_language(JapaneseSearch)
    app.add_search_language(ChineseSearch)
    app.connect("config-inited", choose_pages)
    app.connect("source-read", prepare_source)
