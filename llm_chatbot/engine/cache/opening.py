"""Opens a compiled paged graph with a pool of blocks, as large as memory allows."""

import math
from collections.abc import Callable

import openvino as ov

from llm_chatbot.engine.cache.call_prices import ASSUMED_PRICES
from llm_chatbot.engine.cache.output_layers import OutputLayers
from llm_chatbot.engine.cache.pace import Pace
from llm_chatbot.engine.cache.paged_cache import PagedModel, no_extra_inputs
from llm_chatbot.engine.cache.paged_runner import (
    BLOCK_SIZE,
    PagedRunner,
    Part,
    block_bytes,
    state_bytes,
    tokens_in_a_block,
)
from llm_chatbot.engine.graph.paged_graph import PagedAttentionUnavailableError
from llm_chatbot.errors import UserError
from llm_chatbot.machine.memory import available_memory

# The default size of the pool: enough for this many conversations of full length, within this share of free memory.
FULL_CONVERSATIONS = 8
SHARE_OF_FREE_MEMORY = 0.4
UNKNOWN_CONTEXT = 8192

# Of hybrid models: the share of that memory for recurrent states, and how many there are at least and at most.
SHARE_OF_STATES = 0.5
FEWEST_STATES, MOST_STATES = 8, 256


def open_paged_model(
    compiled: ov.CompiledModel,
    context_length: int | None = None,
    max_length: int | None = None,
    kv_cache_gb: float | None = None,
    extra_inputs: Callable[[int], dict[str, float]] = no_extra_inputs,
    weights: object = None,
    pace: Pace | None = None,
    output: OutputLayers | None = None,
) -> PagedModel:
    """Creates a pool for a compiled paged graph.

    Args:
        compiled: see `llm_chatbot.engine.graph.paged_graph.make_paged`.
        context_length: the model's context length in tokens; None if unknown.
        max_length, extra_inputs, pace: see `PagedModel`.
        kv_cache_gb: memory for the keys and values of all conversations, in GB; None chooses by the free memory.
        weights, output: see `PagedRunner`.

    Raises:
        PagedAttentionUnavailableError: the device's block size is not `BLOCK_SIZE`.
    """
    if (size := tokens_in_a_block(compiled)) != BLOCK_SIZE:
        raise PagedAttentionUnavailableError(f"a block has {size} tokens on this device, not {BLOCK_SIZE}")
    state = state_bytes(compiled)
    slots = state_slots(state, kv_cache_gb) if state else 0
    share = 1 - SHARE_OF_STATES if state else 1.0
    blocks = pool_blocks(block_bytes(compiled), context_length, kv_cache_gb and share * kv_cache_gb)
    runner = PagedRunner(compiled, blocks, weights, slots, output)
    runner.run([Part([0], 0, [0], 1, (0, 1))], extra_inputs(1))  # the runtime packs the weights in its first call
    # A draft that is not accepted would cut the sequence back.
    model = PagedModel(runner, blocks, max_length, extra_inputs, None if state else ASSUMED_PRICES, pace, slots)
    if not state:
        model.measure_in_pauses()
    return model


def state_slots(size: int, kv_cache_gb: float | None) -> int:
    """The number of recurrent states that are kept, for states of `size` bytes."""
    memory = kv_cache_gb * 1e9 if kv_cache_gb else available_memory() * SHARE_OF_FREE_MEMORY
    return min(max(int(memory * SHARE_OF_STATES) // size, FEWEST_STATES), MOST_STATES)


def pool_blocks(size: int, context_length: int | None, kv_cache_gb: float | None) -> int:
    """The number of blocks of a pool, for blocks of `size` bytes.

    Raises:
        UserError: `kv_cache_gb` is not a size.
    """
    if kv_cache_gb is not None:
        if not 0 < kv_cache_gb < math.inf:
            raise UserError("engine.cache_size", size=kv_cache_gb)
        return max(int(kv_cache_gb * 1e9) // size, 1)
    wanted = FULL_CONVERSATIONS * math.ceil((context_length or UNKNOWN_CONTEXT) / BLOCK_SIZE)
    affordable = int(available_memory() * SHARE_OF_FREE_MEMORY) // size
    return max(min(wanted, affordable), 1)
