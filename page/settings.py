"""The generation settings: their defaults, their controls in the panel, and what they mean for a session."""

from typing import Any

from config import ModelConfig
from page.server import I18N

import gradio as gr

# The defaults of the panel and of the endpoint for scripts. A seed of -1 stands for a new one each time.
TEMPERATURE, TOP_P, TOP_K, REPETITION_PENALTY, MAX_NEW_TOKENS, SEED = 0.1, 1.0, 50, 1.1, 256, -1


def default_settings(config: ModelConfig) -> list[Any]:
    """The values of `settings_panel` in its order."""
    return [config.system_prompt or "", TEMPERATURE, TOP_P, TOP_K, REPETITION_PENALTY, MAX_NEW_TOKENS, SEED]


def settings_panel(config: ModelConfig) -> list[gr.components.Component]:
    """The controls: the system prompt, then the arguments of `generation_settings` in their order."""
    prompt, temperature, top_p, top_k, repetition_penalty, max_new_tokens, seed = default_settings(config)

    def slider(name: str, low: float, high: float, value: float, step: float) -> gr.Slider:
        return gr.Slider(low, high, value, step=step, label=I18N(name), info=I18N(f"{name}_info"))

    return [
        gr.Textbox(prompt, label=I18N("system_prompt"), info=I18N("system_prompt_info"), lines=2, max_lines=8),
        slider("temperature", 0, 2, temperature, 0.1),
        slider("top_p", 0.05, 1, top_p, 0.05),
        slider("top_k", 0, 200, top_k, 1),
        slider("repetition_penalty", 1, 2, repetition_penalty, 0.05),
        slider("max_new_tokens", 1, 4096, max_new_tokens, 1),
        gr.Number(seed, label=I18N("seed"), info=I18N("seed_info"), precision=0, minimum=-1),
    ]


def generation_settings(
    temperature: float,
    top_p: float,
    top_k: float,
    repetition_penalty: float,
    max_new_tokens: float,
    seed: float | None,
) -> dict[str, Any]:
    """The values of the panel as options of `ChatSession.answer`: the browser sends every number as a float."""
    return {
        "temperature": temperature,
        "top_p": top_p,
        "top_k": int(top_k),
        "repetition_penalty": repetition_penalty,
        "max_new_tokens": int(max_new_tokens),
        "seed": None if seed is None or seed < 0 else int(seed),  # None if the field is empty
    }
