from pathlib import Path

import numpy as np
import pytest

from llm_chatbot.catalogue.rows import DEFAULT_MODEL
from llm_chatbot.convert.conversion import convert_model
from llm_chatbot.errors import UserError
from llm_chatbot.lesson.matrices import first_matrix, read_codes, read_matrix


@pytest.fixture(scope="module")
def folders(models_root: Path) -> dict[str, Path]:
    return {precision: convert_model(DEFAULT_MODEL, precision, models_root) for precision in ("FP16", "INT8", "GGUF")}


def test_a_matrix_has_one_place_in_all_variants(folders: dict[str, Path]):
    place = first_matrix(folders["GGUF"], 4)
    assert first_matrix(folders["FP16"], 16) == place == first_matrix(folders["INT8"], 8)
    original, int8, own = (read_matrix(folders[precision], place) for precision in ("FP16", "INT8", "GGUF"))
    assert original.dtype == np.float32 and original.shape == int8.shape == own.shape == (576, 576)
    assert 0 < np.abs(int8 - original).max() < 0.05
    assert np.abs(own - original).mean() < 0.1 * np.abs(int8 - original).mean()  # unpacked from the same blocks


def test_codes_are_the_integers_of_the_file(folders: dict[str, Path]):
    place = first_matrix(folders["GGUF"], 4)
    codes = read_codes(folders["GGUF"], place)
    assert codes.shape == (576, 576) and (codes.min(), codes.max()) == (0, 15)
    weights = read_matrix(folders["GGUF"], place)[0, :32]
    scale, start = np.polyfit(codes[0, :32], weights, 1)  # a group has one scale and one zero point
    np.testing.assert_allclose(start + scale * codes[0, :32], weights, atol=1e-3)


def test_what_is_not_there_is_a_sentence(folders: dict[str, Path]):
    with pytest.raises(UserError, match="has no matrix with 4 bits; name a folder of another precision"):
        first_matrix(folders["INT8"], 4)
    with pytest.raises(UserError, match="has no matrix product 999; `first_matrix` gives one"):
        read_matrix(folders["INT8"], 999)
