from dataclasses import fields

import pytest

from llm_chatbot.catalogue.architectures import ARCHITECTURES, Architecture, architecture, imported

PLACES = [
    (model_type, field.name)
    for model_type, row in ARCHITECTURES.items()
    for field in fields(Architecture)
    if isinstance(value := getattr(row, field.name), str) and ":" in value
]


@pytest.mark.slow  # imports what converts
@pytest.mark.parametrize(("model_type", "field"), PLACES)
def test_whatever_code_a_row_names_is_there(model_type: str, field: str):
    assert callable(imported(getattr(ARCHITECTURES[model_type], field)))


def test_an_architecture_without_a_row_goes_the_usual_way():
    assert architecture("llama") == architecture(None) == Architecture()


def test_the_table_is_sorted_so_that_a_row_is_found():
    assert list(ARCHITECTURES) == sorted(ARCHITECTURES)
