from llm_chatbot.catalogue.rows import SUPPORTED_LLM_MODELS
from llm_chatbot.evaluation.comparison import VariantFigures
from llm_chatbot.lesson.device_table import DeviceFigures
from llm_chatbot.lesson.tables import bounds_table, devices_table, models_table, variants_table

FIGURES = VariantFigures(
    "INT4", 96.577, 2.8, 5.737, 0.8, 0.2, 0, 2.6, 339, 2222.9, 100.4, 19.8, 0.00123456, 1, 0.9, 9, 9, {}
)


def test_a_column_for_each_variant():
    table = variants_table([FIGURES])
    assert table.loc["size, MB", "INT4"] == "96.58" and table.loc["KL divergence", "INT4"] == "0.0012"
    assert table.loc["reading a prompt, tokens/s", "INT4"] == "2223"


def test_a_column_for_each_device(monkeypatch):
    monkeypatch.setenv("LLM_CHATBOT_LANGUAGE", "zh")
    table = devices_table([DeviceFigures("CPU", 2.4, 36.2, 97, 7), DeviceFigures("GPU", 5, 20, 200, 3)])
    assert list(table.columns) == ["CPU", "GPU"]
    assert table.loc["与 CPU 相同的词元"].tolist() == ["7", "3"]


def test_a_variant_is_as_fast_as_memory_allows_at_most():
    table = bounds_table([FIGURES], bandwidth=20)
    assert table.loc["INT4"].tolist() == [207, 100]  # 20 GB/s over 96.577 MB, and what was measured


def test_a_row_for_each_model_of_the_catalogue():
    table = models_table(SUPPORTED_LLM_MODELS).data
    assert list(table.index) == list(SUPPORTED_LLM_MODELS)
    small = table.loc["smollm2-135m-instruct"]
    assert (small["parameters"], small["gated"]) == ("0.1 B", "")
    assert {name for name in table.index if table.loc[name, "gated"]} == {
        name for name, row in SUPPORTED_LLM_MODELS.items() if row.gated
    }
