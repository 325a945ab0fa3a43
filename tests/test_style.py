"""Rules of style that linters don't check: names that stand for one thing each, and docstrings that say it."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import llm_chatbot

PACKAGE = Path(llm_chatbot.__file__).parent

# What each program has, what a logger is called everywhere, and two that can't import each other.
SHARED = {"CALLER", "logger", "main", "make_demo", "parser", "read_sections"}


def public_names(path: Path) -> Iterator[str]:
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Assign):
            yield from (target.id for target in node.targets if isinstance(target, ast.Name))
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield node.target.id


def test_no_public_name_is_defined_twice():
    modules = defaultdict(set)
    for path in PACKAGE.rglob("*.py"):
        for name in public_names(path):
            modules[name].add(path.relative_to(PACKAGE).as_posix())
    twice = {name: found for name, found in modules.items() if len(found) > 1 and not name.startswith("_")}
    assert twice.keys() == SHARED, {name: sorted(found) for name, found in twice.items() if name not in SHARED}


def test_no_docstring_begins_with_what():
    """A noun or a verb says more."""
    documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    begin_so = [
        f"{path.relative_to(PACKAGE)}: {text.splitlines()[0]}"
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, documented) and (text := ast.get_docstring(node)) and text.startswith("What ")
    ]
    assert not begin_so
