import numpy as np

from llm_chatbot.engine.vision.prepared import Prepared
from llm_chatbot.engine.vision.reader import Picture, picture_ids, places_of, positions_of, rows_of


class Squares:
    """A processor whose pictures have two vectors."""

    token = row_token = "<image>"


def picture(seed: int) -> Picture:
    tiles = np.random.default_rng(seed).integers(0, 256, (1, 3, 4, 4), dtype=np.uint8)
    rows = np.full((2, 5), seed, np.float32)
    return Picture(Squares(), Prepared(tiles, "<image><image>"), lambda tiles: rows)  # type: ignore[arg-type]


def test_the_same_pixels_have_the_same_ids_and_others_have_others():
    one, same, other = picture(1), picture(1), picture(2)
    assert one.ids == same.ids and not set(one.ids) & set(other.ids) and len(set(one.ids)) == 2


def test_ids_are_negative_and_of_62_bits():
    ids = picture_ids(np.zeros((1, 3, 2, 2), np.uint8), 1000)
    assert max(ids) < 0 and min(ids) >= -(2**62) and len(set(ids)) == 1000
    assert min(ids) < -(2**61)


def test_ids_depend_on_the_shape_too():
    pixels = np.zeros(24, np.uint8)
    assert picture_ids(pixels.reshape(1, 3, 2, 4), 1) != picture_ids(pixels.reshape(1, 3, 4, 2), 1)


def test_positions_of_a_picture_with_a_grid_follow_its_rows_and_columns():
    """As in the paper's figure 3: what follows begins after the longer side."""
    one = picture(1)
    one.grid, one.ids = (2, 3), [-1, -2, -3, -4, -5, -6]
    ids = [7, 8, *one.ids, 9, 10]
    expected = [
        [0, 1, 2, 2, 2, 2, 2, 2, 5, 6],
        [0, 1, 2, 2, 2, 3, 3, 3, 5, 6],
        [0, 1, 2, 3, 4, 2, 3, 4, 5, 6],
    ]
    places = places_of([one])
    assert positions_of(ids, places).tolist() == expected
    assert positions_of(ids[:5], places).tolist() == [row[:5] for row in expected]
    assert positions_of(ids[8:], {}, begin=5).tolist() == [[5, 6]] * 3
    one.grid = None
    assert positions_of(ids, places).tolist() == [list(range(10))] * 3


def test_rows_are_those_of_each_id():
    one, two = picture(1), picture(2)
    rows = rows_of([7, one.ids[0], two.ids[1], 8], places_of([one, two]))
    assert rows is not None and rows[:, 0].tolist() == [1, 2]
    assert rows_of([7, 8], {}) is None
