import ast
import re
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

from llm_chatbot.machine.pins import read_sections

ROOT = Path(__file__).resolve().parents[2]
# Of benchmarks, the cluster and the build.
PEERS = {"llama_cpp", "onnxruntime_genai", "playwright", "ray", "grpc", "hatchling"}


def imported_packages() -> set[str]:
    """The top-level packages that the product and the benchmarks import, without ours and Python's own."""
    paths = [*ROOT.glob("*.py"), *(ROOT / "llm_chatbot").rglob("*.py"), *(ROOT / "benchmarks").glob("*.py")]
    names: set[str] = set()
    for node in (node for path in paths for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names.add(node.module)
    ours = {"llm_chatbot", "benchmarks", "tests", *(path.stem for path in ROOT.glob("*.py"))}
    return {name.partition(".")[0] for name in names} - ours - set(sys.stdlib_module_names) - PEERS


def normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_every_package_that_is_imported_is_pinned():
    sections = read_sections((ROOT / "requirements.txt").read_text(encoding="utf-8"))
    pinned = {normalized(line.partition("==")[0]) for lines in sections.values() for line in lines}
    distributions, imported = packages_distributions(), imported_packages()
    missing = {name for name in imported if not {normalized(one) for one in distributions[name]} & pinned}
    assert len(imported) > 15 and not missing


def test_a_section_is_an_extra_and_comments_are_no_requirements():
    text = "# why\na==1  # odd\n\n# extra: more, for some\nb==2\n# extra: cluster\nray==3  # big\n"
    assert read_sections(text) == {"": ["a==1"], "more": ["b==2"], "cluster": ["ray[serve]==3"]}
