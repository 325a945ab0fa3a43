import ast
import re
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import install

ROOT = Path(__file__).resolve().parents[1]
PEERS = {"llama_cpp", "playwright"}  # for benchmarks: what they compare with, and the browser of the tests


def imported_packages(folders: tuple[str, ...]) -> set[str]:
    """The top-level packages that the Python files of these folders import, without ours and Python's own."""
    names: set[str] = set()
    for path in (path for folder in folders for path in (ROOT / folder).glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
                names.add(node.module)
    tops = {name.partition(".")[0] for name in names}
    ours = {path.stem for folder in (ROOT, ROOT / "tests") for path in folder.glob("*") if path.suffix in ("", ".py")}
    return tops - ours - set(sys.stdlib_module_names) - PEERS


def normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_every_package_that_is_imported_is_pinned():
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    pinned = {normalized(line.partition("==")[0]) for line in lines if "==" in line}
    distributions = packages_distributions()
    imported = imported_packages((".", "api", "conversion", "engine", "evaluation", "lesson", "page", "benchmarks"))
    missing = {name for name in imported if not {normalized(one) for one in distributions[name]} & pinned}
    assert len(imported) > 15 and not missing


def test_the_pinned_version_counts_in_any_build_and_another_version_does_not(tmp_path: Path):
    requirements = tmp_path / "requirements.txt"
    torch = install.version("torch").partition("+")[0]  # beside which there may be a +cpu
    requirements.write_text(f"# a comment\ntorch=={torch}  # why\n", encoding="utf-8")
    assert install.is_installed(requirements)
    requirements.write_text("torch==0.0.1\n", encoding="utf-8")
    assert not install.is_installed(requirements)
    requirements.write_text("no-such-package-here==1.0\n", encoding="utf-8")
    assert not install.is_installed(requirements)
