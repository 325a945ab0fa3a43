"""Which compression settings suit a model? One sweep over what NNCF has, from the model's 16-bit weights.

    python -m benchmarks.int4_settings [NAME] [--work DIR] [--without METHOD…] [--output DIR]

For each setting: the size of the weights, the mean Kullback-Leibler divergence of its next-token distribution from the
16-bit one on the texts of `evaluation`, and tokens/s. Settings on the Pareto front are marked: no other one is both
smaller and closer, or, for speed, both faster and closer. Prints the table of `docs/compression.md`, and writes
`int4_settings.json` and `int4_settings.png` to the output folder. With `--work`, an interrupted sweep goes on where it
was.
"""

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import nncf
import openvino as ov
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from transformers import AutoTokenizer

from llm_chatbot.catalogue.rows import DEFAULT_MODEL
from llm_chatbot.convert.conversion import convert_model
from llm_chatbot.convert.export.calibration import calibration_dataset
from llm_chatbot.convert.export.compression import compress_and_save
from llm_chatbot.convert.pipeline import SMALLER_GROUPS, copy_side_files
from llm_chatbot.engine.loading import open_model
from llm_chatbot.engine.precisions import EXACT
from llm_chatbot.engine.text.tokenizer import FolderTokenizer
from llm_chatbot.errors import UserError
from llm_chatbot.evaluation.comparison import measure_speed, score_texts, versions
from llm_chatbot.evaluation.metrics import concatenate
from llm_chatbot.evaluation.results import save_results
from llm_chatbot.evaluation.texts import passages
from llm_chatbot.evaluation.weight_storage import weight_storage
from llm_chatbot.folder.manifest import MODEL_BIN, MODEL_XML
from llm_chatbot.machine.output import check_writable

ROOT = Path(__file__).resolve().parents[1]

Settings = dict[str, Any]

# Arguments of `nncf.compress_weights`. "data" stands for sample text: AWQ can do without, the methods below can't.
NEEDING_DATA = ("scale_estimation", "gptq", "lora_correction")
SWEEP: list[Settings] = [
    {"mode": "INT8_ASYM"},
    {"mode": "INT8_SYM"},
    *({"mode": "INT4_ASYM", "group_size": 32, "ratio": ratio} for ratio in (1.0, 0.8, 0.7, 0.6)),
    *({"mode": "INT4_ASYM", "group_size": 64, "ratio": ratio} for ratio in (1.0, 0.8)),
    *({"mode": "INT4_SYM", "group_size": 32, "ratio": ratio} for ratio in (1.0, 0.8, 0.6)),
    {"mode": "INT4_SYM", "group_size": 64, "ratio": 1.0},
    {"mode": "INT4_SYM", "group_size": -1, "ratio": 1.0},
    {"mode": "INT4_ASYM", "group_size": 32, "ratio": 1.0, "all_layers": True},
    *({"mode": "INT4_ASYM", "group_size": 32, "ratio": ratio, "awq": True} for ratio in (1.0, 0.8, 0.7)),
    *({"mode": "INT4_ASYM", "group_size": 64, "ratio": ratio, "awq": True} for ratio in (1.0, 0.8)),
    {"mode": "INT4_SYM", "group_size": 32, "ratio": 1.0, "awq": True},
    *({"mode": "INT4_SYM", "group_size": 64, "ratio": ratio, "awq": True} for ratio in (1.0, 0.8)),
    {"mode": "INT4_ASYM", "group_size": 32, "ratio": 1.0, "awq": True, "data": True},
    {"mode": "INT4_ASYM", "group_size": 32, "ratio": 1.0, "scale_estimation": True},
    {"mode": "INT4_ASYM", "group_size": 32, "ratio": 1.0, "lora_correction": True},
    {"mode": "INT4_ASYM", "group_size": 32, "ratio": 1.0, "gptq": True},
    {"mode": "INT4_ASYM", "group_size": 32, "ratio": 1.0, "awq": True, "scale_estimation": True},
    {"mode": "INT4_SYM", "group_size": 32, "ratio": 1.0, "scale_estimation": True},
]
ROUNDS = 12  # of speed
AT_ONCE = 4  # models in memory, beside the 16-bit one


def label(settings: Settings) -> str:
    """A setting's name, which is also its folder's: like `INT4_SYM-g64-r0.8-awq`."""
    parts = [settings["mode"]]
    if "group_size" in settings:
        group = settings["group_size"]
        parts += ["channel" if group == -1 else f"g{group}", f"r{settings['ratio']}"]
    return "-".join([*parts, *(name for name, value in settings.items() if value is True)])


def compress(source: Path, folder: Path, settings: Settings) -> float:
    """Makes a variant of the 16-bit one in `source`, with its tokenizer; returns the seconds that it took."""
    start = time.perf_counter()
    folder.mkdir(parents=True)
    copy_side_files(source, folder)
    model = ov.Core().read_model(source / MODEL_XML)
    arguments = {**settings, "mode": nncf.CompressWeightsMode[settings["mode"]]}
    if arguments.pop("data", False) or any(name in settings for name in NEEDING_DATA):
        arguments["dataset"] = calibration_dataset(model, AutoTokenizer.from_pretrained(source))
    if "group_size" in settings:
        arguments["advanced_parameters"] = SMALLER_GROUPS
    compress_and_save(model, folder / MODEL_XML, **arguments)
    return time.perf_counter() - start


def prepare(source: Path, work: Path, settings_to_try: Sequence[Settings]) -> dict[str, Path]:
    """Makes the folders of the settings that are not there yet."""
    folders = {}
    for settings in settings_to_try:
        folder = work / label(settings)
        if not folder.exists():
            partial = folder.with_name(folder.name + ".partial")
            shutil.rmtree(partial, ignore_errors=True)
            seconds = compress(source, partial, settings)
            partial.replace(folder)
            print(f"{folder.name}: {seconds:.0f} s", flush=True)
        folders[folder.name] = folder
    return folders


def measure_divergence(source: Path, folders: Sequence[Path], kept: Path) -> dict[str, dict[str, float]]:
    """Perplexity, KL and equal top tokens on all texts, by the folders' names; those in the file `kept` are not new."""
    tokenizer = FolderTokenizer(source)
    found: dict[str, dict[str, float]] = json.loads(kept.read_text(encoding="utf-8")) if kept.is_file() else {}
    missing = [folder for folder in folders if folder.name not in found]
    for start in range(0, len(missing), AT_ONCE):
        together = (source, *missing[start : start + AT_ONCE])
        models = {folder: open_model(folder, ov_config=EXACT, paged=False) for folder in together}
        for folder, scores in score_texts(models, source, tokenizer, passages()).items():
            whole = concatenate(list(scores.values()))
            same_top = float(whole.same_top.mean())
            found[folder.name] = {"perplexity": whole.perplexity, "kl": float(whole.kl.mean()), "same_top": same_top}
        kept.write_text(json.dumps(found, indent=2), encoding="utf-8")
    return found


def pareto_front(rows: Sequence[dict[str, Any]], cost: Callable[[dict[str, Any]], float]) -> set[str]:
    """Labels of the rows that no other row beats in both cost and KL."""

    def beaten(row: dict[str, Any]) -> bool:
        return any(
            cost(other) <= cost(row)
            and other["kl"] <= row["kl"]
            and (cost(other), other["kl"]) != (cost(row), row["kl"])
            for other in rows
        )

    return {row["settings"] for row in rows if not beaten(row)}


def sweep(source: Path, work: Path, settings_to_try: Sequence[Settings]) -> list[dict[str, Any]]:
    """All figures of all settings, the 16-bit variant's first."""
    folders = {"FP16": source, **prepare(source, work, settings_to_try)}
    quality = measure_divergence(source, list(folders.values())[1:], work / "quality.json")
    speeds = measure_speed(list(folders.values()), ROUNDS)
    rows: list[dict[str, Any]] = [
        {
            "settings": name,
            "mb": (folder / MODEL_BIN).stat().st_size / 1e6,
            "bits_per_weight": weight_storage(folder / MODEL_XML).bits_per_weight,
            **quality[folder.name],
            "prefill_tps": speeds[folder][0],
            "decode_tps": speeds[folder][1],
        }
        for name, folder in folders.items()
    ]
    smallest, fastest = pareto_front(rows, lambda row: row["mb"]), pareto_front(rows, lambda row: -row["decode_tps"])
    for row in rows:
        row["front"] = [name for name, front in (("size", smallest), ("speed", fastest)) if row["settings"] in front]
    return rows


def print_table(rows: Sequence[dict[str, Any]]) -> None:
    print("| settings | MB | bits/weight | KL | same token | perplexity | prefill | decode | front |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|---|")
    for row in sorted(rows, key=lambda row: row["kl"]):
        print(
            f"| `{row['settings']}` | {row['mb']:.1f} | {row['bits_per_weight']:.2f} | {row['kl']:.4f} "
            f"| {row['same_top']:.1%} | {row['perplexity']:.2f} | {row['prefill_tps']:.0f} | {row['decode_tps']:.1f} "
            f"| {', '.join(row['front'])} |"
        )


def draw(rows: Sequence[dict[str, Any]]) -> Figure:
    """KL against size, and against speed; the front in colour."""
    figure, axes = plt.subplots(1, 2, figsize=(11, 4.5), layout="constrained", sharey=True)
    for axis, front, column, title in zip(
        axes, ("size", "speed"), ("mb", "decode_tps"), ("MB", "tokens/s, decoding"), strict=True
    ):
        rest = [row for row in rows if row["settings"] != "FP16"]
        colors = ["#3b6ea5" if front in row["front"] else "#b8c4d0" for row in rest]
        axis.scatter([row[column] for row in rest], [row["kl"] for row in rest], color=colors)
        for row in rest:
            if front in row["front"]:
                axis.annotate(
                    row["settings"], (row[column], row["kl"]), fontsize=7, xytext=(4, 4), textcoords="offset points"
                )
        axis.set(xlabel=title, yscale="log")
        axis.margins(x=0.25)
    axes[0].set_ylabel("KL divergence from 16 bits, nats")
    return figure


def main() -> int:
    parser = argparse.ArgumentParser(description="Sweep compression settings, from a model's 16-bit weights.")
    parser.add_argument("name", nargs="?", default=DEFAULT_MODEL)
    parser.add_argument("--work", type=Path, help="where the variants are kept (default: a temporary folder)")
    parser.add_argument("--without", nargs="+", default=[], help="leave out settings whose name has this in it")
    parser.add_argument("--output", type=Path, default=ROOT / "figures", help="for int4_settings.json and .png")
    arguments = parser.parse_args()
    settings = [each for each in SWEEP if not any(text in label(each) for text in arguments.without)]
    try:
        check_writable(arguments.output)
        with tempfile.TemporaryDirectory() as temporary:
            work = arguments.work or Path(temporary)
            rows = sweep(convert_model(arguments.name, "FP16", work), work, settings)
        print_table(rows)
        machine = ov.Core().get_property("CPU", "FULL_DEVICE_NAME")
        content = {"model": arguments.name, "machine": machine, "versions": versions(), "rows": rows}
        save_results(arguments.output, "int4_settings", content, lambda: draw(rows))
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
