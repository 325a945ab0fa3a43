from llm_chatbot.evaluation.comparison import VariantFigures
from llm_chatbot.lesson.device_table import DeviceFigures
from llm_chatbot.lesson.tables import devices_table, variants_table


def test_a_column_for_each_variant():
    figures = VariantFigures(
        "INT4", 96.577, 2.8, 5.737, 0.8, 0.2, 0, 2.6, 339, 2222.9, 100.4, 19.8, 0.00123456, 1, 0.9, 9, 9, {}
    )
    table = variants_table([figures])
    assert table.loc["size, MB", "INT4"] == "96.58" and table.loc["KL divergence", "INT4"] == "0.0012"
    assert table.loc["reading a prompt, tokens/s", "INT4"] == "2223"


def test_a_column_for_each_device(monkeypatch):
    monkeypatch.setenv("LLM_CHATBOT_LANGUAGE", "zh")
    table = devices_table([DeviceFigures("CPU", 2.4, 36.2, 97, 7), DeviceFigures("GPU", 5, 20, 200, 3)])
    assert list(table.columns) == ["CPU", "GPU"]
    assert table.loc["与 CPU 相同的词元"].tolist() == ["7", "3"]
