from docs.gguf_table import GGUF_PAGE, HEADER, gguf_table, table_row
from docs.models_table import table_in
from llm_chatbot.decoder.rows import ROWS
from llm_chatbot.decoder.tensors import FLOATS
from llm_chatbot.gguf.blocks import FORMS


def test_the_pages_table_is_that_of_the_rows():
    """If it fails: python -m docs.gguf_table --write."""
    assert table_in(GGUF_PAGE.read_text(encoding="utf-8"), HEADER) == gguf_table()


def test_the_page_has_all_types_of_blocks():
    page = GGUF_PAGE.read_text(encoding="utf-8")
    assert [type.name for type in (*FLOATS, *FORMS) if type.name not in page] == []


def test_a_row_says_what_loads_its_folder():
    assert table_row("gemma2", ROWS["gemma2"]) == (
        "| `gemma2` | RMS | halves of a head | all layers but each 2nd | no: its scores are capped | `gemma2` |\n"
    )
    assert table_row("orion", ROWS["orion"]).endswith("| yes | not; GenAI does |\n")
