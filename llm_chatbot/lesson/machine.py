"""The bounds that a machine's memory bandwidth sets a model."""

import os
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from llm_chatbot.catalogue.row import ModelConfig

# Adults read English at about 240 words a minute (Brysbaert 2019, doi:10.1016/j.jml.2019.104047), 4 a second. With
# about 1.3 tokens a word, these are tokens/s.
READING_SPEED = 5.2

NUM_PARTS = 64  # more than cores, so that one that is busy with something else does not hold up the rest


def measure_bandwidth(megabytes: int = 512, rounds: int = 10) -> float:
    """GB/s at which all cores together read memory: the best of some rounds, as other programs only make one slower.

    Args:
        megabytes: how much is read in a round; far more than the processor's cache holds.
        rounds: how often.
    """
    numbers = np.ones(megabytes * 1_000_000 // 8, dtype=np.uint64)
    parts = np.array_split(numbers, NUM_PARTS)
    seconds = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for _ in range(rounds):
            start = time.perf_counter()
            list(pool.map(np.sum, parts))  # NumPy releases Python's lock meanwhile
            seconds.append(time.perf_counter() - start)
    return numbers.nbytes / min(seconds) / 1e9


def bytes_per_token(row: ModelConfig, precision: str) -> float:
    """Estimates the bytes of weights that a model of the catalogue reads for each token.

    For INT4, by the row's settings. Embeddings are counted like the rest, so small models take more.
    """
    parameters = row.active_parameters or row.parameters
    assert parameters
    return parameters * row.bits_per_weight(precision) / 8
