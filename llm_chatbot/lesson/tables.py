"""The lesson's tables of measurements, with names that a reader understands."""

from collections.abc import Mapping, Sequence

import pandas as pd
from pandas.io.formats.style import Styler

from llm_chatbot.catalogue.row import ModelConfig
from llm_chatbot.evaluation.comparison import VariantFigures
from llm_chatbot.lesson.device_table import DeviceFigures
from llm_chatbot.lesson.words import say

VARIANT = {
    "size, MB": "size_mb",
    "bits per weight": "bits_per_weight",
    "memory, MB": "memory_mb",
    "loading, s": "load_seconds",
    "reading a prompt, tokens/s": "prefill_tps",
    "writing, tokens/s": "decode_tps",
    "KL divergence": "kl",
    "same likeliest token": "same_top",
    "FDT, tokens": "fdt",
}
DEVICE = {
    "loading, s": "load_seconds",
    "first token, ms": "first_token_ms",
    "writing, tokens/s": "tokens_per_second",
    "tokens like the CPU's": "same_tokens",
}


def models_table(rows: Mapping[str, ModelConfig]) -> Styler:
    """A row for each model of the catalogue: its size, whether its licence must be accepted first, a description."""
    table = {
        name: {
            say("parameters"): f"{row.parameters / 1e9:.1f} B" if row.parameters else "",
            say("gated"): say("yes") if row.gated else "",
            "": row.description,
        }
        for name, row in rows.items()
    }
    return pd.DataFrame(table).T.style.set_properties(**{"text-align": "left"})


def bounds_table(variants: Sequence[VariantFigures], bandwidth: float) -> pd.DataFrame:
    """The tokens/s of each variant beside the most that memory allows it.

    Args:
        variants: what was measured.
        bandwidth: of memory, in GB/s.
    """
    rows = {
        each.variant: {
            say("at most, tokens/s"): 1000 * bandwidth / each.size_mb,
            say("measured, tokens/s"): each.decode_tps,
        }
        for each in variants
    }
    return pd.DataFrame(rows).T.round(0)


def variants_table(variants: Sequence[VariantFigures]) -> pd.DataFrame:
    """The costs and savings of each variant, a column for each."""
    return pd.DataFrame({each.variant: _figures(each, VARIANT) for each in variants})


def devices_table(devices: Sequence[DeviceFigures]) -> pd.DataFrame:
    """How each device runs a model, a column for each."""
    return pd.DataFrame({each.device: _figures(each, DEVICE) for each in devices})


def _figures(record: object, names: Mapping[str, str]) -> dict[str, str]:
    """Attributes by the words for them, with four digits and at most four decimals."""
    return {say(words): f"{round(getattr(record, name), 4):.4g}" for words, name in names.items()}
