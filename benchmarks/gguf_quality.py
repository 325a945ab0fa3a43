"""Compares a GGUF file's own blocks with NNCF's INT4 and INT8: the loss against 16-bit weights, and the speed.

    python -m benchmarks.gguf_quality [NAME]

NAME is the embedded model or a .gguf file. Quality is measured on the 16-bit variant's own answers, with exact float32
execution: the mean Kullback-Leibler divergence of the next-token distribution, and the share of positions with the same
most likely token. Decoding speed is measured with the runtime's defaults, the variants interleaved, as the median of
the ratios to NNCF's INT4.
"""

import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from transformers import AutoTokenizer

from llm_chatbot.catalogue.example_questions import EXAMPLE_QUESTIONS
from llm_chatbot.catalogue.lookup import get_model_config
from llm_chatbot.catalogue.rows import DEFAULT_MODEL
from llm_chatbot.convert.conversion import convert_model
from llm_chatbot.engine.decode.sampling import log_softmax
from llm_chatbot.engine.precisions import EXACT
from llm_chatbot.evaluation.metrics import TokenScores, concatenate, score_tokens
from llm_chatbot.folder.found import precision_label
from llm_chatbot.folder.manifest import MODEL_BIN
from llm_chatbot.folder.place import AS_IN_FILE
from llm_chatbot.optimum_models import OVChatModel, load_model

ANSWER_TOKENS, ROUNDS, DECODED = 160, 9, 48


def log_probabilities(model: OVChatModel, ids: torch.Tensor, answer_length: int) -> np.ndarray:
    """Of each token at the positions that predict the answer's, float32 [answer_length, vocabulary]."""
    return log_softmax(model(input_ids=ids).logits[0, -answer_length - 1 : -1].numpy())


def answers_of(folder: Path, questions: list[str]) -> list[tuple[torch.Tensor, int, np.ndarray]]:
    """For each question: ids of question and answer, the answer's length, and the log-probabilities of its tokens."""
    tokenizer, model = AutoTokenizer.from_pretrained(folder), load_model(folder, ov_config=EXACT)
    answers = []
    for question in questions:
        messages = [{"role": "user", "content": question}]
        prompt = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_tensors="pt")
        ids = model.generate(**prompt, max_new_tokens=ANSWER_TOKENS, do_sample=False)
        length = ids.shape[1] - prompt["input_ids"].shape[1]
        answers.append((ids, length, log_probabilities(model, ids, length)))
    return answers


def scores(folder: Path, answers: list[tuple[torch.Tensor, int, np.ndarray]]) -> TokenScores:
    """How a variant predicts the tokens of the answers."""
    model = load_model(folder, ov_config=EXACT)
    return concatenate(
        [
            score_tokens(expected, log_probabilities(model, ids, length), ids[0, -length:].tolist())
            for ids, length, expected in answers
        ]
    )


def seconds_per_token(folders: dict[str, Path], prompt: torch.Tensor) -> dict[str, list[float]]:
    """Seconds per decoded token in each round, for each variant; the variants are interleaved."""
    models = {name: load_model(folder) for name, folder in folders.items()}
    times: dict[str, list[float]] = {name: [] for name in folders}
    for _ in range(ROUNDS + 1):
        for name, model in models.items():
            model.generate(input_ids=prompt, max_new_tokens=1, do_sample=False)
            start = time.perf_counter()
            model.generate(input_ids=prompt, min_new_tokens=DECODED, max_new_tokens=DECODED, do_sample=False)
            times[name].append((time.perf_counter() - start) / DECODED)
    return {name: found[1:] for name, found in times.items()}  # the first round warms up


def main() -> None:
    name = sys.argv[1] if len(sys.argv) > 1 else DEFAULT_MODEL
    config = get_model_config(name)
    questions = [*EXAMPLE_QUESTIONS[config.language], "Who wrote Hamlet?", "Is the sun a star?", "What is 3 + 4?"]
    with tempfile.TemporaryDirectory() as temporary:
        roots = {kind: Path(temporary, kind) for kind in ("16bit", "own", "nncf")}
        fp16, own = convert_model(name, "FP16", roots["16bit"]), convert_model(name, AS_IN_FILE, roots["own"])
        answers = answers_of(fp16, questions)
        nncf = f"NNCF {config.int4.mode}, groups of {config.int4.group_size}, {config.int4.ratio}"
        folders = {
            nncf: convert_model(name, "INT4", roots["nncf"]),
            precision_label(own): own,
            "NNCF INT8_ASYM": convert_model(name, "INT8", roots["nncf"]),
        }
        times = seconds_per_token(folders, answers[0][0][:, :32])
        print(f"{sum(length for _, length, _ in answers)} tokens")
        print("| weights | MB | KL | same token | decoding |\n|---|---:|---:|---:|---:|")
        for kind, folder in folders.items():
            found = scores(folder, answers)
            size = (folder / MODEL_BIN).stat().st_size / 1e6
            ratio = statistics.median(base / each for base, each in zip(times[nncf], times[kind], strict=True))
            quality = f"{found.kl.mean():.4f} | {found.same_top.mean():.1%}"
            print(f"| {kind} | {size:.0f} | {quality} | {ratio:.2f} |", flush=True)


if __name__ == "__main__":
    main()
