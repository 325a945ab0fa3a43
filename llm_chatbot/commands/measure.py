"""Measures the cost of compression: compares converted folders of one model, one of which has 16-bit weights.

    llm-chatbot measure FOLDER… [--wikitext] [--language zh] [--output DIR]

Prints a table, and writes `quality.json` and `quality.png` to the output folder, which is that of the model where all
variants are in one: the page shows what it finds there. What the figures mean is in
`evaluation.comparison.VariantFigures`. The texts are in `evaluation/passages`; with `--wikitext`, part of WikiText-2's
test split comes from the Hugging Face Hub instead.
"""

import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from llm_chatbot.catalogue.example_questions import EXAMPLE_QUESTIONS
from llm_chatbot.commands.options import Caller, Parser
from llm_chatbot.errors import UserError
from llm_chatbot.evaluation.charts import plot_quality
from llm_chatbot.evaluation.comparison import VariantFigures, compare, versions
from llm_chatbot.evaluation.results import save_results
from llm_chatbot.folder.found import MEASURED
from llm_chatbot.machine.json_progress import JSONBar, write_error, write_step
from llm_chatbot.machine.output import check_writable

CALLER = Caller("llm-chatbot measure")

COLUMNS = {
    "variant": "{}",
    "size_mb": "{:.0f}",
    "compression_rate": "{:.2f}",
    "bits_per_weight": "{:.2f}",
    "load_seconds": "{:.2f}",
    "memory_mb": "{:.0f}",
    "prefill_tps": "{:.0f}",
    "decode_tps": "{:.1f}",
    "perplexity": "{:.2f}",
    "kl": "{:.4f}",
    "kl_p99": "{:.3f}",
    "same_top": "{:.1%}",
    "fdt": "{:.1f}",
    "sdt": "{:.1f}",
}
WIKITEXT_CHARACTERS = 40_000


def wikitext() -> dict[str, str]:
    """The beginning of WikiText-2's test split.

    Raises:
        UserError: the Hub can't be reached.
    """
    from datasets import load_dataset
    from httpx import HTTPError

    try:
        rows = load_dataset("Salesforce/wikitext", "wikitext-2-raw-v1", split="test")["text"]
    except (OSError, RuntimeError, HTTPError) as error:  # what huggingface_hub lets through when there is no network
        raise UserError("measure.no_wikitext") from error
    return {"wikitext-2": "".join(rows)[:WIKITEXT_CHARACTERS]}


def beside(folders: Sequence[Path]) -> Path:
    """The folder that holds all of these, or else the current one."""
    parents = {folder.resolve().parent for folder in folders}
    return parents.pop() if len(parents) == 1 else Path(".")


def print_table(results: Sequence[VariantFigures]) -> None:
    print(f"| {' | '.join(COLUMNS)} |\n|---|{'---:|' * (len(COLUMNS) - 1)}")
    for result in results:
        print(f"| {' | '.join(form.format(getattr(result, name)) for name, form in COLUMNS.items())} |")


def write_figures(results: Sequence[VariantFigures], folder: Path) -> None:
    """Writes the figures and their plot.

    Raises:
        UserError: the folder can't be written.
    """
    content = {"versions": versions(), "variants": [asdict(result) for result in results]}
    save_results(folder, Path(MEASURED).stem, content, lambda: plot_quality(results))


def main(argv: Sequence[str] | None = None, caller: Caller = CALLER) -> int:
    parser = Parser(caller, "Compare the variants of a model: size, speed and quality.")
    parser.add_argument("folders", nargs="+", type=Path, help="converted folders, one of them in FP16")
    parser.add_argument("--wikitext", action="store_true", help="use WikiText-2 from the Hub, not the shipped texts")
    parser.add_argument("--language", default="en", choices=EXAMPLE_QUESTIONS, help="of the questions (default: en)")
    parser.add_argument("--output", type=Path, help="for quality.json and quality.png (default: beside the folders)")
    parser.add_argument("--progress", choices=("none", "json"), default="none", help="how progress is shown")
    arguments = parser.parse_args(argv)
    if arguments.progress == "json":
        JSONBar.stream = sys.stdout
    output = arguments.output or beside(arguments.folders)
    try:
        check_writable(output)
        texts = wikitext() if arguments.wikitext else None
        results = compare(arguments.folders, texts, EXAMPLE_QUESTIONS[arguments.language], progress=write_step)
        print_table(results)
        write_figures(results, output)
    except UserError as error:
        if arguments.progress == "json":
            write_error(error, sys.stdout)
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
