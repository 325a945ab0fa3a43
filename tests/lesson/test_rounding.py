from pathlib import Path

import numpy as np
import pytest

from llm_chatbot.catalogue.rows import DEFAULT_MODEL
from llm_chatbot.convert.conversion import convert_model
from llm_chatbot.engine.loading import open_model
from llm_chatbot.engine.precisions import EXACT
from llm_chatbot.errors import UserError
from llm_chatbot.lesson.rounding import MODEL_PARTS, RoundableModel, Rounding, place_of, round_weights


@pytest.fixture(scope="module")
def model(models_root: Path) -> RoundableModel:
    return RoundableModel(convert_model(DEFAULT_MODEL, "FP16", models_root))


def test_weights_become_the_nearest_of_the_levels_of_their_group():
    weights = np.array([[-4.0, 1.2, 3.4, 0.4, 8.0, 1.0, -2.9, 0.0]])
    np.testing.assert_allclose(round_weights(weights, Rounding(3, 4)), [[-4, 1, 3, 0, 8, 0, -2, 0]])
    np.testing.assert_allclose(round_weights(weights, Rounding(3, 0)), [[-4, 2, 4, 0, 8, 0, -2, 0]])
    assert not round_weights(np.zeros((1, 8)), Rounding(2, 4)).any()


@pytest.mark.parametrize("bits", range(2, 9))
def test_each_bit_halves_the_error_and_all_levels_are_used(bits: int):
    weights = np.random.default_rng(0).normal(size=(64, 512)).astype(np.float16)
    rounded = round_weights(weights, Rounding(bits, 512))
    assert len(np.unique(rounded[0])) > 2 ** (bits - 1)
    error, finer = (np.abs(round_weights(weights, Rounding(each, 512)) - weights).mean() for each in (bits, bits + 1))
    assert 1.6 < error / finer < 2.7


def test_a_size_has_the_codes_and_the_scales():
    assert Rounding(4, 32).size((2, 64)) == (2 * 64 * 4 + 4 * 16) / 8
    assert Rounding(8, 0).size((2, 64)) == (2 * 64 * 8 + 2 * 16) / 8


def test_each_matrix_has_its_part_and_layer(model: RoundableModel):
    counts = {part: sum(matrix.part == part for matrix in model.matrices.values()) for part in MODEL_PARTS}
    assert counts == {"embedding": 1, "attention": 30 * 4, "MLP": 30 * 3}
    assert {matrix.layer for matrix in model.matrices.values()} == set(range(-1, 30)) and model.num_layers == 30
    assert model.group_sizes == [16, 32, 64, 96, 192, 0]
    assert model.size({}) == 2 * sum(matrix.weights.size for matrix in model.matrices.values())


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("blk.3.attn_q.weight", ("attention", 3)),
        ("blk.12.ffn_down.weight", ("MLP", 12)),
        ("token_embd.weight", ("embedding", -1)),
        ("self.model.layers.1.self_attn.o_proj._openvino_orig_weight", ("attention", 1)),
        ("self.model.layers.0.mlp.up_proj._openvino_orig_weight", ("MLP", 0)),
        ("self.lm_head._openvino_orig_weight", ("embedding", -1)),
    ],
)
def test_names_of_gguf_files_and_of_traced_modules_are_known(name: str, expected: tuple[str, int]):
    assert place_of(name) == expected


def test_the_model_is_opened_with_rounded_weights(model: RoundableModel, models_root: Path):
    original = open_model(convert_model(DEFAULT_MODEL, "FP16", models_root), ov_config=EXACT, paged=False)
    ids = [504, 3575, 314, 260]

    def logits(bits: int) -> np.ndarray:
        return model.open(dict.fromkeys(model.matrices, Rounding(bits, 64))).new_stateful_cache().feed(ids)

    expected = original.new_stateful_cache().feed(ids)
    near, far = (np.abs(logits(bits) - expected).mean() for bits in (8, 3))
    assert 0 < near < 0.2 < far


def test_errors_are_in_mean_weights_of_the_matrices_that_are_rounded(model: RoundableModel):
    name, matrix = next(item for item in model.matrices.items() if item[1].part == "MLP")
    weights = matrix.weights.astype(np.float32)
    expected = (round_weights(weights, Rounding(4, 0)) - weights) / np.abs(weights).mean()
    found = model.errors({name: Rounding(4, 0)}, shown=weights.size)
    np.testing.assert_allclose(np.abs(found).mean(), np.abs(expected).mean(), rtol=0.01)
    assert not model.errors({}).any()


def test_a_model_that_is_compressed_is_refused(models_root: Path):
    with pytest.raises(UserError, match="has no matrix with 16 bits"):
        RoundableModel(convert_model(DEFAULT_MODEL, "INT8", models_root))
