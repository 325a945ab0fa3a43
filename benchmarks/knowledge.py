"""Knowledge: how often the passage with the answer is among the first five, and what indexing and searching take.

    python -m benchmarks.knowledge [--passages N] [--encoder NAME] [--rerank NAME] [--words]

The questions are those of `benchmarks/knowledge_questions.py`. They are asked to Python's language reference, this
project's notebook in Japanese and Chinese, and the docstrings of packages that are installed here, which answer none of
them and are so many that there are N passages. With `--words`, nothing is embedded: full text alone.
"""

import argparse
import ast
import re
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from pydoc_data.topics import topics
from statistics import median

from benchmarks import knowledge_questions as asked
from llm_chatbot.catalogue.encoders import DEFAULT_ENCODER
from llm_chatbot.encoder.encoder import Encoder
from llm_chatbot.encoder.loading import load_cross_encoder, load_encoder
from llm_chatbot.knowledge.collection import Collection, make_collection
from llm_chatbot.knowledge.search import FoundPassage, Searcher

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("sympy", "pandas", "sklearn", "scipy", "matplotlib", "torch")  # whose docstrings answer nothing here
FIRST = 5


@dataclass(frozen=True)
class Questions:
    """Those of one language, with their answers, and those without any."""

    language: str
    answered: dict[str, str]
    unanswered: Sequence[str]


SETS = [
    Questions("English", asked.PYTHON, asked.UNANSWERED),
    Questions("Japanese", asked.JAPANESE, asked.UNANSWERED_JAPANESE),
    Questions("Chinese", asked.CHINESE, asked.UNANSWERED_CHINESE),
]


def write_documents(folder: Path) -> None:
    for name, text in topics.items():
        (folder / f"{name}.rst").write_text(text, encoding="utf-8")
    for language in ("ja", "zh"):
        notebook = ROOT / "docs" / f"llm-chatbot.{language}.ipynb"
        (folder / notebook.name).write_bytes(notebook.read_bytes())


def docstrings() -> Iterator[tuple[str, str]]:
    """The docstrings of each module of the packages, with its name."""
    for package in PACKAGES:
        spec = find_spec(package)
        if spec is None or spec.origin is None:
            continue
        folder = Path(spec.origin).parent
        for path in sorted(folder.rglob("*.py")):
            if "tests" in path.parts:
                continue
            tree = ast.parse(path.read_text(encoding="utf-8"))
            nodes = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module)]
            texts = [
                f"{getattr(node, 'name', path.stem)}\n\n{text}" for node in nodes if (text := ast.get_docstring(node))
            ]
            if texts:
                yield ".".join((package, *path.relative_to(folder).with_suffix("").parts)), "\n\n\n".join(texts)


def fill(collection: Collection, folder: Path, encoder: Encoder | None, passages: int) -> float:
    """Reads documents until there are so many passages; returns the seconds, without those for writing the files."""
    write_documents(folder)
    collection.add([folder])
    seconds, files = 0.0, docstrings()
    while True:
        began = time.perf_counter()
        for _ in collection.update(encoder):
            pass
        seconds += time.perf_counter() - began
        missing = passages - collection.index.counts()[1]
        if missing <= 0:
            return seconds
        written = 0
        for name, text in files:
            (folder / f"{name}.txt").write_text(text, encoding="utf-8")
            written += len(text)
            if written > missing * 500:  # characters of a passage, about
                break
        if not written:
            return seconds


def place_of(found: Iterable[FoundPassage], answer: str) -> int | None:
    """The place of the first passage that has the answer, from 1."""
    for place, one in enumerate(found, 1):
        if re.search(answer, one.place.text, re.S):
            return place
    return None


def report(searcher: Searcher, collection: Collection, questions: Questions) -> None:
    results = {question: searcher.search([collection], question, FIRST) for question in questions.answered}
    places = [place_of(results[question], answer) for question, answer in questions.answered.items()]
    hits = sum(place is not None for place in places)
    shown = sum(
        place_of([one for one in results[question] if one.fits], answer) is not None
        for question, answer in questions.answered.items()
    )
    rank = sum(1 / place for place in places if place) / len(places)
    silent = sum(not any(one.fits for one in searcher.search([collection], q, FIRST)) for q in questions.unanswered)
    print(
        f"| {questions.language} | {hits} of {len(places)} | {rank:.2f} | {shown} of {len(places)} "
        f"| {silent} of {len(questions.unanswered)} |"
    )


def thresholds(searcher: Searcher, collection: Collection, questions: Questions) -> None:
    """What each pair of thresholds keeps of the answers, and how often it is silent where there is none."""
    results = [
        [
            place_of([one], questions.answered[question]) and one
            for one in searcher.search([collection], question, FIRST)
        ]
        for question in questions.answered
    ]
    wrong = [searcher.search([collection], question, FIRST) for question in questions.unanswered]
    for cosine in (0.25, 0.3, 0.35, 0.4, 0.45, 2):
        line = []
        for coverage in (0.3, 0.4, 0.5, 0.6, 0.7, 2):

            def fits(one: FoundPassage, cosine: float = cosine, coverage: float = coverage) -> bool:
                return (one.cosine or 0) >= cosine or one.coverage >= coverage

            kept = sum(any(one and fits(one) for one in found) for found in results)
            silent = sum(not any(map(fits, found)) for found in wrong)
            line.append(f"{kept}/{silent}")
        print(f"cosine {cosine:4}: {'  '.join(line)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--passages", type=int, default=2000)
    parser.add_argument("--encoder", default=DEFAULT_ENCODER)
    parser.add_argument("--words", action="store_true")
    parser.add_argument("--rerank")
    parser.add_argument("--thresholds", action="store_true")
    arguments = parser.parse_args()
    encoder = None if arguments.words else load_encoder(arguments.encoder, exact=False)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary, "documents")
        folder.mkdir()
        collection = make_collection("Documentation", "" if encoder is None else arguments.encoder, Path(temporary))
        seconds = fill(collection, folder, encoder, arguments.passages)
        documents, passages = collection.index.counts()
        size = collection.index.path.stat().st_size / 1e6
        searcher = Searcher(
            lambda name: encoder or load_encoder(name),
            (lambda: load_cross_encoder(arguments.rerank)) if arguments.rerank else None,
        )
        searcher.search([collection], "once")
        times = []
        for question in asked.PYTHON:
            began = time.perf_counter()
            searcher.search([collection], question, FIRST)
            times.append(time.perf_counter() - began)
        print(f"{passages} passages of {documents} files indexed in {seconds:.0f} s, {size:.0f} MB;", end=" ")
        print(f"a search takes {1000 * median(times):.0f} ms (median)\n")
        print(
            f"| questions | answer among the first {FIRST} | mean reciprocal rank | and said to fit "
            "| silent where there is none |"
        )
        print("|---|---|---|---|---|")
        for questions in SETS:
            report(searcher, collection, questions)
        if arguments.thresholds:
            for questions in SETS:
                print(questions.language)
                thresholds(searcher, collection, questions)


if __name__ == "__main__":
    main()
