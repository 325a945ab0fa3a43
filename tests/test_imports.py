"""What a file beside the packages may import; `lint-imports` checks the packages themselves, by pyproject.toml."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"benchmarks"}
FIRST_PARTY = PACKAGES | {path.stem for path in ROOT.glob("*.py")}

CATALOGUE = {"config", "model_config", "example_questions", "chat_formats", "gguf_names"}
MAY_IMPORT: dict[str, set[str]] = {
    "chat_formats": set(),
    "gguf_names": set(),
    "example_questions": set(),
    "model_config": {"chat_formats", "gguf_names"},
    "config": CATALOGUE - {"config"},
    "install": set(),
    "memory": set(),
    "model_folder": CATALOGUE,
    "machine_cache": {"model_folder"},
    "command_line": {"model_folder", *CATALOGUE},
    "converter": {"command_line", "conversion", "model_folder", *CATALOGUE},
    "ov_llm_model": {"engine", "model_folder", *CATALOGUE},
    "serve": {"api", "command_line", "engine", "model_folder", *CATALOGUE},
    "chat_ui": {"command_line", "page", "api", "ov_llm_model", "engine", "model_folder", *CATALOGUE},
}
ONLY_IN = {
    "gradio": {"chat_ui", "page"},
    "llguidance": {"api"},
    "ray": {"serving"},
    "prometheus_client": {"api"},
    "nncf": {"converter", "conversion"},
    "sentencepiece": {"converter", "conversion"},
    "gguf": {"converter", "conversion"},
    "optimum.exporters": {"converter", "conversion"},
}


def imported(path: Path) -> set[str]:
    """The full names of the modules that a file imports anywhere in it."""
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


@pytest.mark.parametrize("module", sorted(FIRST_PARTY - PACKAGES))
def test_a_module_imports_only_what_is_below_it(module: str):
    found = {name.partition(".")[0] for name in imported(ROOT / f"{module}.py")}
    assert found & FIRST_PARTY <= MAY_IMPORT[module]


@pytest.mark.parametrize("library", ONLY_IN)
def test_a_library_is_imported_only_where_it_belongs(library: str):
    sources = [*ROOT.glob("*.py"), *(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))]
    users = {
        path.relative_to(ROOT).with_suffix("").parts[0]
        for path in sources
        if any(name == library or name.startswith(f"{library}.") for name in imported(path))
    }
    assert users and users <= ONLY_IN[library]
