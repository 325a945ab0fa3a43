"""Models with recurrent states in the paged pool, against Transformers' logits."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import (
    CONFIG_MAPPING,
    MODEL_FOR_CAUSAL_LM_MAPPING,
    GraniteMoeHybridConfig,
    GraniteMoeHybridForCausalLM,
    PreTrainedModel,
)

from llm_chatbot.catalogue.row import Int4Settings
from llm_chatbot.convert.conversion import convert_model
from llm_chatbot.engine.cache.paged_cache import PagedCache, PagedModel
from llm_chatbot.engine.cache.paged_runner import BLOCK_SIZE
from llm_chatbot.engine.cache.state_slots import CHECKPOINT_INTERVAL
from llm_chatbot.engine.loading import open_model
from llm_chatbot.errors import UserError
from tests import small_modern_checkpoints
from tests.paged_models import EXACT, SIZES, paged, tiny, together
from tests.tiny_models import export

IDS = np.random.default_rng(3).integers(1, 160, CHECKPOINT_INTERVAL + 140).tolist()
EDITED = [*IDS[: CHECKPOINT_INTERVAL + 20], *IDS[5:45]]
BRANCH = [*IDS[: CHECKPOINT_INTERVAL + 130], *IDS[9:29]]


EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32}
QWEN = {
    "head_dim": 16,
    "layer_types": ["linear_attention", "full_attention"],
    "linear_key_head_dim": 16,
    "linear_value_head_dim": 16,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
}
OTHERS = {
    "lfm2": {"layer_types": ["conv", "full_attention"], "block_auto_adjust_ff_dim": False},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"], "num_dense_layers": 1, **EXPERTS},
    "qwen3_5_text": QWEN,
    "qwen3_5_moe_text": {**QWEN, **EXPERTS, "shared_expert_intermediate_size": 32},
    "qwen3_next": {**QWEN, **EXPERTS, "shared_expert_intermediate_size": 32},
}


def granite_hybrid(experts: int = 0) -> GraniteMoeHybridForCausalLM:
    config = GraniteMoeHybridConfig(
        **SIZES | {"num_hidden_layers": 3},
        layer_types=["mamba", "attention", "mamba"],
        num_local_experts=experts,
        num_experts_per_tok=2 if experts else 0,
        shared_intermediate_size=96,
        position_embedding_type="rope" if experts else "nope",
        mamba_n_heads=8,
        mamba_d_state=16,
        max_position_embeddings=4096,
    )
    return tiny(GraniteMoeHybridForCausalLM, config)


def open_paged(original: PreTrainedModel, folder: Path) -> PagedModel:
    return paged(export(original, folder) / "openvino_model.xml", kv_cache_gb=0.05)


@pytest.fixture(scope="module")
def original() -> GraniteMoeHybridForCausalLM:
    return granite_hybrid()


@pytest.fixture(scope="module")
def model(original: GraniteMoeHybridForCausalLM, tmp_path_factory: pytest.TempPathFactory) -> PagedModel:
    return open_paged(original, tmp_path_factory.mktemp("hybrid"))


def expected_logits(original: PreTrainedModel, ids: list[int]) -> np.ndarray:
    """After each token; the state is not used."""
    with torch.no_grad():
        logits = original(input_ids=torch.tensor([ids]), use_cache=False).logits[0].numpy()
    assert logits.std() > 0.05
    return logits


def assert_close(logits: np.ndarray, expected: np.ndarray) -> None:
    np.testing.assert_allclose(logits, expected, atol=2e-4 * np.abs(expected).max())


@pytest.fixture(scope="module")
def read(original: GraniteMoeHybridForCausalLM) -> Callable[[PagedCache, list[int], int], int]:
    known: dict[int, np.ndarray] = {}

    def read(cache: PagedCache, text: list[int], length: int) -> int:
        """Reads the beginning of a text in pieces, compares the logits after it, and returns how much was cached."""
        if id(text) not in known:
            known[id(text)] = expected_logits(original, text)
        ids = text[:length]
        cached = start = cache.trim_to_prefix(ids[:-1])
        while len(ids) - start > 300:
            cache.feed(ids[start : start + 300])
            start += 300
        assert_close(cache.feed(ids[start:]), known[id(text)][length - 1])
        return cached

    return read


def test_turns_edits_and_branches_give_the_logits_of_transformers(model: PagedModel, read: Callable):
    cache, branch = model.new_cache(), model.new_cache()
    end = len(IDS) - 3
    assert model.is_hybrid and read(cache, IDS, 40) == 0
    assert read(cache, IDS, end) == 40  # past a checkpoint
    for length in range(end + 1, len(IDS) + 1):
        assert read(cache, IDS, length) == length - 1
    assert read(cache, EDITED, len(EDITED) - 2) == CHECKPOINT_INTERVAL
    assert read(branch, BRANCH, len(BRANCH)) == CHECKPOINT_INTERVAL + 4 * BLOCK_SIZE  # the end of a prompt
    assert read(cache, EDITED, len(EDITED)) == len(EDITED) - 2


@pytest.mark.parametrize("experts", [0, 4])
def test_two_conversations_in_one_call_keep_apart(experts: int, tmp_path: Path):
    original = granite_hybrid(experts)
    model = open_paged(original, tmp_path)
    texts = [IDS[50:150], IDS[70:107]]
    expected = [expected_logits(original, ids) for ids in texts]
    caches = [model.new_cache(), model.new_cache()]
    for cache, ids in zip(caches, texts, strict=True):
        cache.trim_to_prefix(ids[:-1])
    for ends in [(90, 30), (91, 31), (100, 37)]:
        new = [ids[len(cache.ids) : end] for cache, ids, end in zip(caches, texts, ends, strict=True)]
        for logits, known, end in zip(together(model, caches, new), expected, ends, strict=True):
            assert_close(logits, known[end - 1])


@pytest.mark.parametrize("model_type", OTHERS)
def test_other_architectures_give_the_logits_of_transformers(model_type: str, tmp_path: Path):
    config = CONFIG_MAPPING[model_type](**{**SIZES, **OTHERS[model_type]})
    original = tiny(MODEL_FOR_CAUSAL_LM_MAPPING[type(config)], config)
    model = open_paged(original, tmp_path)
    text, edited = IDS[:90], [*IDS[:50], *IDS[5:15]]
    expected, expected_edited = expected_logits(original, text), expected_logits(original, edited)
    cache, branch = model.new_cache(), model.new_cache()
    assert cache.trim_to_prefix(text[:40]) == 0
    assert_close(cache.feed(text[:41]), expected[40])
    assert cache.trim_to_prefix(text[:-1]) == 41
    assert_close(cache.feed(text[41:89]), expected[88])
    assert_close(cache.feed(text[89:]), expected[89])
    assert branch.trim_to_prefix(edited[:-1]) == BLOCK_SIZE
    assert_close(branch.feed(edited[BLOCK_SIZE:]), expected_edited[-1])


def test_a_converted_folder_answers_an_edited_turn(tmp_path: Path):
    small_modern_checkpoints.granite4(tmp_path, "mamba", "attention", "mamba")
    folder = convert_model(str(tmp_path), "INT4", tmp_path / "models", Int4Settings(group_size=32))
    model = open_model(folder, ov_config=EXACT, kv_cache_gb=0.05)
    assert model.paged is not None and model.paged.is_hybrid
    text, edited = IDS[:200], [*IDS[:150], *IDS[3:53]]
    cache, fresh = model.new_cache(), model.new_cache()
    assert cache.trim_to_prefix(text[:-1]) == 0
    cache.feed(text)
    assert cache.trim_to_prefix(text[:-1]) == 192
    assert cache.trim_to_prefix(edited[:-1]) == 0
    np.testing.assert_allclose(cache.feed(edited), fresh.feed(edited), atol=1e-4)
    with pytest.raises(UserError, match="only the shared cache on a CPU"):
        open_model(folder, paged=False)
