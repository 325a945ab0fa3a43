import pytest

from docs.models_table import MODELS_PAGE, models_table, rounded, table_in


def test_the_pages_table_is_the_catalogues():
    """If it fails: python -m docs.models_table --write."""
    assert table_in(MODELS_PAGE.read_text(encoding="utf-8")) == models_table()


def test_the_table_ends_where_its_lines_end():
    text = f"# Models\n\n{models_table()}\nMore text.\n\n| another | table |\n"
    assert table_in(text) == models_table()
    with pytest.raises(ValueError, match="no table"):
        table_in("| another | table |\n")


@pytest.mark.parametrize(
    ("parameters", "text"), [(134_515_008, "135 M"), (999_885_952, "1.0 B"), (7_241_732_096, "7.2 B")]
)
def test_parameters_are_rounded(parameters: int, text: str):
    assert rounded(parameters) == text
