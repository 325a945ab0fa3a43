from llm_chatbot.evaluation.charts import mark_words, plot_quality
from llm_chatbot.evaluation.comparison import VariantFigures


def figures(variant: str, size_mb: float, decode_tps: float, kl: float) -> VariantFigures:
    return VariantFigures(variant, size_mb, 1, 16, 0, 0, 1, 0.5, 300, 400, decode_tps, 15, kl, kl, 0.9, 9, 9, {})


def test_the_plot_shows_divergence_over_size_and_speed_as_area():
    (axes,) = plot_quality([figures("FP16", 269, 10, 0), figures("INT4", 104, 40, 0.2)]).axes
    (points,) = axes.collections
    assert points.get_offsets().tolist() == [[269, 0], [104, 0.2]]
    small, large = points.get_sizes()
    assert large == 4 * small
    assert [text.get_text() for text in axes.texts] == ["FP16\n10 tokens/s", "INT4\n40 tokens/s"]


def test_tokens_that_differ_are_marked_and_markup_is_escaped():
    words = {1: "a ", 2: "<b> ", 3: "c", 4: "d & "}
    left, right = mark_words([1, 2, 3], [1, 4, 3], lambda ids: "".join(words[id] for id in ids))
    assert left == "a <mark><b>&lt;b&gt; </b></mark>c"
    assert right == "a <mark><b>d &amp; </b></mark>c"
    left, right = mark_words([1], [1, 4], lambda ids: "".join(words[id] for id in ids))
    assert (left, right) == ("a ", "a <mark><b>d &amp; </b></mark>")
