from pathlib import Path

import numpy as np
import pytest

from llm_chatbot.catalogue.rows import DEFAULT_MODEL
from llm_chatbot.convert.conversion import convert_model
from llm_chatbot.errors import UserError
from llm_chatbot.lesson.matrices import first_matrix, read_codes, read_matrix


@pytest.fixture(scope="module")
def folders(models_root: Path) -> dict[str, Path]:
    return {precision: convert_model(DEFAULT_MODEL, precision, models_root) for precision in ("FP16", "INT8", "INT4")}


def test_a_matrix_has_one_name_in_all_variants(folders: dict[str, Path]):
    name = first_matrix(folders["INT4"], 4)
    assert first_matrix(folders["FP16"], 16) == name == first_matrix(folders["INT8"], 8)
    original, int8, int4 = (read_matrix(folders[precision], name) for precision in ("FP16", "INT8", "INT4"))
    assert original.dtype == np.float32 and original.shape == int8.shape == int4.shape == (576, 576)
    assert 0 < np.abs(int8 - original).max() < 0.05
    assert np.abs(int4 - original).mean() < 0.1 * np.abs(int8 - original).mean()  # unpacked from the same blocks


def test_codes_are_the_integers_of_the_file(folders: dict[str, Path]):
    name = first_matrix(folders["INT4"], 4)
    codes = read_codes(folders["INT4"], name)
    assert codes.shape == (576, 576) and (codes.min(), codes.max()) == (0, 15)
    weights = read_matrix(folders["INT4"], name)[0, :32]
    scale, start = np.polyfit(codes[0, :32], weights, 1)  # a group has one scale and one zero point
    np.testing.assert_allclose(start + scale * codes[0, :32], weights, atol=1e-3)


def test_what_is_not_there_is_a_sentence(folders: dict[str, Path]):
    with pytest.raises(UserError, match="has no matrix with 4 bits; name a folder of another precision"):
        first_matrix(folders["INT8"], 4)
    with pytest.raises(UserError, match="has no matrix product 'lm_tail'; `first_matrix` names one"):
        read_matrix(folders["INT8"], "lm_tail")
