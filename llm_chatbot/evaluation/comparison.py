"""Converted folders of one model → figures for each: size, speed, and how far it is from the 16-bit one."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np

from llm_chatbot.catalogue.example_questions import EXAMPLE_QUESTIONS
from llm_chatbot.engine.cache.kv_cache import KVCache
from llm_chatbot.engine.decode.generation import stream_ids
from llm_chatbot.engine.decode.sampling import Sampling, log_softmax
from llm_chatbot.engine.files import read_config
from llm_chatbot.engine.loading import open_model
from llm_chatbot.engine.model import ChatModel
from llm_chatbot.engine.precisions import EXACT
from llm_chatbot.engine.text.prompt import prompt_ids
from llm_chatbot.engine.text.tokenizer import FolderTokenizer
from llm_chatbot.errors import UserError
from llm_chatbot.evaluation.loading import measure_loading
from llm_chatbot.evaluation.metrics import TokenScores, concatenate, divergence, rolling_windows, score_tokens
from llm_chatbot.evaluation.texts import passages
from llm_chatbot.evaluation.weight_storage import WeightStorage, weight_storage
from llm_chatbot.folder.manifest import check_complete, graph_files, read_manifest, weights_file
from llm_chatbot.machine.memory import available_memory

WINDOW = 512  # tokens that are predicted in one go
ANSWER_TOKENS = 48
PROMPT_TOKENS, DECODED_TOKENS, ROUNDS = 256, 32, 5

# Entries of config.json in which the variants of one model agree.
SHAPE = ("model_type", "vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads")

# Called with a step, how much of it is done, and its total; None: unknown.
Progress = Callable[[str, int, int | None], object]


def _quiet(step: str, done: int, total: int | None) -> None:
    pass


@dataclass(frozen=True)
class VariantFigures:
    """The costs and savings of a variant.

    Attributes:
        variant: name of its folder.
        size_mb: of its weights' file, in 10^6 bytes.
        compression_rate: of that file: how many times smaller than the 16-bit variant's.
        bits_per_weight: scales and zero points included.
        share_4bit, share_8bit, share_16bit: of the weights.
        load_seconds: from the start of loading until it is ready; not the first time, for the runtime keeps what it
            compiled.
        memory_mb: of a process that has loaded it and done nothing else, in 10^6 bytes.
        prefill_tps, decode_tps: tokens/s, as the processor runs it by default.
        perplexity: per token, on all texts; like all that follows, computed in 32 bits.
        kl, kl_p99: divergence of its next-token distribution from the 16-bit one, in nats: mean, 99th percentile.
        same_top: share of the tokens where both find the same one likeliest.
        fdt, sdt: of greedy answers, see `metrics.divergence`: mean of all questions.
        by_text: perplexity and kl for each text.
    """

    variant: str
    size_mb: float
    compression_rate: float
    bits_per_weight: float
    share_4bit: float
    share_8bit: float
    share_16bit: float
    load_seconds: float
    memory_mb: float
    prefill_tps: float
    decode_tps: float
    perplexity: float
    kl: float
    kl_p99: float
    same_top: float
    fdt: float
    sdt: float
    by_text: dict[str, dict[str, float]]


def compare(
    folders: Sequence[Path | str],
    texts: Mapping[str, str] | None = None,
    questions: Sequence[str] = EXAMPLE_QUESTIONS["en"],
    rounds: int = ROUNDS,
    progress: Progress = _quiet,
) -> list[VariantFigures]:
    """Measures converted folders of one model, in the order given.

    All of them are in memory at once, with the 16-bit variant's weights in 32 bits.

    Args:
        folders: one of them with 16-bit weights, which the others are compared with.
        texts: by name; None: the shipped passages.
        questions: that each variant answers.
        rounds: how often speed is measured; the fastest counts.
        progress: is called with each step: "Predicting", "Answering", "Timing" and "Loading".

    Raises:
        UserError: a folder is not a whole converted model, they are not of one model, none has 16-bit weights, or
            memory is too small for all of them at once.
    """
    paths = [Path(folder) for folder in folders]
    storages = check_variants(paths)
    reference = next(path for path, storage in storages.items() if storage.is_16bit)
    sizes = {path: weights_file(path).stat().st_size for path in paths}
    check_memory(sum(sizes.values()) - sizes[reference] + 4 * storages[reference].total)
    scores, answers = measure_quality(paths, reference, passages() if texts is None else texts, questions, progress)
    progress("Timing", 0, None)
    speeds = measure_speed(paths, rounds)
    progress("Loading", 0, None)
    loading = {path: measure_loading(path) for path in paths}
    names = variant_names(paths)
    return [
        VariantFigures(
            variant=names[path],
            size_mb=sizes[path] / 1e6,
            compression_rate=sizes[reference] / sizes[path],
            bits_per_weight=storages[path].bits_per_weight,
            share_4bit=storages[path].share(4),
            share_8bit=storages[path].share(8),
            share_16bit=storages[path].share(16) + storages[path].share(32),
            load_seconds=loading[path][0],
            memory_mb=loading[path][1] / 1e6,
            prefill_tps=speeds[path][0],
            decode_tps=speeds[path][1],
            **summarize(scores[path], answers[path], answers[reference]),
        )
        for path in paths
    ]


def check_variants(folders: Sequence[Path]) -> dict[Path, WeightStorage]:
    """Refuses folders that can't be compared, before anything is measured; returns how each stores its weights.

    Raises:
        UserError: see `compare`.
    """
    for folder in folders:
        check_complete(folder)
    for folder in folders[1:]:
        if _identity(folder) != _identity(folders[0]):
            raise UserError("measure.different", folder=folder, first=folders[0])
    storages = {folder: weight_storage(graph_files(folder)[0]) for folder in folders}
    if not any(storage.is_16bit for storage in storages.values()):
        raise UserError("measure.no_16_bit")
    return storages


def check_memory(needed: int) -> None:
    """Raises a `UserError` if fewer bytes of memory are free than the variants need together."""
    free = available_memory()
    if free < needed:
        raise UserError("measure.memory", free=f"{free / 1e9:.1f} GB", needed=f"{needed / 1e9:.1f} GB")


def variant_names(folders: Sequence[Path]) -> dict[Path, str]:
    """Short names that tell folders apart: their own, or their paths where two have the same."""
    names = [folder.resolve().name.removesuffix("_compressed_weights") for folder in folders]
    unique = len(set(names)) == len(names)
    return {folder: name if unique else str(folder) for folder, name in zip(folders, names, strict=True)}


def measure_speed(folders: Sequence[Path], rounds: int = ROUNDS) -> dict[Path, tuple[float, float]]:
    """Tokens/s of prefill and of greedy decoding for each folder: the fastest of rounds in which they take turns.

    The fastest, as other programs can only make a round slower. Each round's prompt is a token longer than the last,
    since the runtime reads a length that it knows faster, and that of a real prompt is new.
    """
    caches = {folder: open_model(folder, paged=False).new_stateful_cache() for folder in folders}
    text = FolderTokenizer(folders[0])(passages()["en"])["input_ids"]
    speeds: dict[Path, list[tuple[float, float]]] = {folder: [] for folder in folders}
    for length in range(PROMPT_TOKENS, PROMPT_TOKENS + rounds + 1):
        for folder, cache in caches.items():
            speeds[folder].append(_speed(cache, text[:length]))
    warm = {folder: found[1:] for folder, found in speeds.items()}
    return {folder: (max(p for p, _ in found), max(d for _, d in found)) for folder, found in warm.items()}


def _speed(cache: KVCache, ids: Sequence[int]) -> tuple[float, float]:
    """Tokens/s of reading `ids` and of decoding after them, once."""
    cache.reset()
    start = time.perf_counter()
    logits = cache.feed(ids)
    first = time.perf_counter()
    for _ in range(DECODED_TOKENS):
        logits = cache.feed([int(logits.argmax())])
    return len(ids) / (first - start), DECODED_TOKENS / (time.perf_counter() - first)


def score_texts(
    models: Mapping[Path, ChatModel],
    reference: Path,
    tokenizer: FolderTokenizer,
    texts: Mapping[str, str],
    window: int = WINDOW,
    progress: Progress = _quiet,
) -> dict[Path, dict[str, TokenScores]]:
    """Has each model predict the texts, a window at a time, and compares it with the reference.

    Args:
        models: by their folders.
        reference: the folder of the one that the others are compared with.
        tokenizer: of all of them.
        texts: by name.
        window: tokens that are fed at most.
        progress: is called before each window.

    Returns:
        By folder and text, the scores of the text's tokens.
    """
    prefix = prefix_token(tokenizer)
    caches = {path: model.new_stateful_cache() for path, model in models.items()}
    parts: dict[Path, dict[str, list[TokenScores]]] = {path: {name: [] for name in texts} for path in models}
    ids = {name: tokenizer(text, add_special_tokens=False)["input_ids"] for name, text in texts.items()}
    windows = [(name, *each) for name in texts for each in rolling_windows(ids[name], prefix, window)]
    for number, (name, fed, predicted) in enumerate(windows):
        progress("Predicting", number, len(windows))
        expected = _predict(caches[reference], fed, len(predicted))
        for path, cache in caches.items():
            found = expected if path == reference else _predict(cache, fed, len(predicted))
            parts[path][name].append(score_tokens(expected, found, predicted))
    return {path: {name: concatenate(some) for name, some in by_text.items()} for path, by_text in parts.items()}


def _predict(cache: KVCache, ids: list[int], count: int) -> np.ndarray:
    """Log probabilities after the last `count` of a text's tokens, float32 [count, vocabulary]."""
    cache.reset()
    return log_softmax(cache.feed_all(ids)[-count:])


def prefix_token(tokenizer: FolderTokenizer) -> int:
    """The token before a text, by which its first token is predicted: as in lm-eval, that of the beginning or the end.

    Raises:
        UserError: the tokenizer has neither.
    """
    special = tokenizer.special_tokens_map
    id = tokenizer.backend_tokenizer.token_to_id(special.get("bos_token") or special.get("eos_token") or "")
    if id is None:
        raise UserError("measure.no_token")
    return id


def greedy_answer(
    model: ChatModel, tokenizer: FolderTokenizer, question: str, tokens: int = ANSWER_TOKENS
) -> list[int]:
    """Ids of the answer's first tokens; where the model has no chat format, of what it continues the question with."""
    if tokenizer.chat_template:
        ids = prompt_ids(tokenizer, [{"role": "user", "content": question}])
    else:
        ids = tokenizer(question)["input_ids"]
    return list(islice(stream_ids(model.new_cache(), ids, Sampling(), model.stop_ids), tokens))


def versions() -> dict[str, str]:
    """Of what the figures depend on."""
    return {package: version(package) for package in ("openvino", "nncf", "tokenizers", "numpy")}


def measure_quality(
    folders: Sequence[Path],
    reference: Path,
    texts: Mapping[str, str],
    questions: Sequence[str],
    progress: Progress = _quiet,
) -> tuple[dict[Path, dict[str, TokenScores]], dict[Path, list[list[int]]]]:
    """By folder: the scores of each text, compared with the reference's, and the greedy answers to the questions."""
    models = {folder: open_model(folder, ov_config=EXACT, paged=False) for folder in folders}
    tokenizer = FolderTokenizer(reference)
    scores = score_texts(models, reference, tokenizer, texts, progress=progress)
    progress("Answering", 0, None)
    answers = {
        path: [greedy_answer(model, tokenizer, question) for question in questions] for path, model in models.items()
    }
    return scores, answers


def summarize(
    scores: Mapping[str, TokenScores], answers: Sequence[list[int]], expected: Sequence[list[int]]
) -> dict[str, Any]:
    """The figures of quality in `VariantFigures`.

    Args:
        scores: by text.
        answers: to each question.
        expected: the 16-bit variant's.
    """
    whole = concatenate(list(scores.values()))
    pairs = [divergence(reference, found) for reference, found in zip(expected, answers, strict=True)]
    return {
        "perplexity": whole.perplexity,
        "kl": float(whole.kl.mean()),
        "kl_p99": float(np.percentile(whole.kl, 99)),
        "same_top": float(whole.same_top.mean()),
        "fdt": mean(first for first, _ in pairs),
        "sdt": mean(share for _, share in pairs),
        "by_text": {
            name: {"perplexity": each.perplexity, "kl": float(each.kl.mean())} for name, each in scores.items()
        },
    }


def _identity(folder: Path) -> Any:
    """The facts that variants of one model share: the checkpoint where the folder says it, the shape and vocabulary."""
    config = read_config(folder)
    manifest = read_manifest(folder)
    tokenizer = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"]
    return manifest.get("model_id"), manifest.get("revision"), [config.get(name) for name in SHAPE], tokenizer
