"""The options of an answer: their defaults and ranges on the page, and the one mapping to the engine's `Generation`."""

import math
from dataclasses import asdict, dataclass
from typing import Any

from llm_chatbot.engine.decode.generation import Generation
from llm_chatbot.errors import UserError

# The defaults of the page and of the endpoint for scripts. A seed of -1 stands for a new one each time.
TEMPERATURE, TOP_P, TOP_K, MIN_P, REPETITION_PENALTY, SEED = 0.1, 1.0, 50, 0.0, 1.1, -1
MAX_NEW_TOKENS: int | None = None  # as many as the context has room for

ALTERNATIVES = 5  # likely tokens that "Look inside" shows at each place

EFFORTS = ("low", "medium", "high")  # of templates that have `reasoning_effort`


@dataclass(frozen=True)
class Setting:
    """A number that can be set: its default, its range and its step.

    Attributes:
        default: None: no limit.
        maximum: None: none, and the page has no slider for it.
    """

    name: str
    default: float | None
    minimum: float
    maximum: float | None
    step: float


def number_settings() -> list[Setting]:
    """The numbers of the panel, in its order."""
    return [
        Setting("temperature", TEMPERATURE, 0, 2, 0.1),
        Setting("top_p", TOP_P, 0.05, 1, 0.05),
        Setting("top_k", TOP_K, 0, 200, 1),
        Setting("min_p", MIN_P, 0, 1, 0.01),
        Setting("repetition_penalty", REPETITION_PENALTY, 1, 2, 0.05),
        Setting("max_new_tokens", MAX_NEW_TOKENS, 1, None, 1),
        Setting("seed", SEED, -1, None, 1),
    ]


THINKING_BUDGET = Setting("thinking_budget", -1, 0, None, 1)


def described_settings() -> list[dict[str, Any]]:
    """`number_settings` for the browser."""
    return [asdict(setting) for setting in number_settings()]


def make_generation(seed: int | None, **options: Any) -> Generation:
    """The engine's options, from those that a page, a script or a request gives.

    Args:
        seed: any number; a negative one or None stands for a new one each time. NumPy's are not negative.
        options: the other attributes of `Generation`.
    """
    return Generation(seed=None if seed is None or seed < 0 else seed % 2**63, **options)


def page_generation(values: dict[str, Any]) -> Generation:
    """The page's settings as the engine's options. A setting that is missing or empty has its default.

    Raises:
        UserError: a value is not a number in its range.
    """
    numbers: dict[str, Any] = {
        setting.name: _number(setting, values.get(setting.name)) for setting in number_settings()
    }
    for name in ("top_k", "max_new_tokens", "seed"):
        numbers[name] = None if numbers[name] is None else int(numbers[name])
    budget = values.get("thinking_budget")
    return make_generation(
        **numbers,
        top_logprobs=ALTERNATIVES if values.get("probabilities") else None,
        thinking_budget=None if budget is None else int(_number(THINKING_BUDGET, budget) or 0),
    )


def page_template_options(values: dict[str, Any]) -> dict[str, Any]:
    """The reader's choices of the chat template's variables; the template decides about the others.

    Raises:
        UserError: there is no such choice.
    """
    options: dict[str, Any] = {}
    if (thinking := values.get("thinking")) is not None:
        options["enable_thinking"] = bool(thinking)
    if (effort := values.get("effort")) is not None:
        if effort not in EFFORTS:
            raise UserError("setting.choice", name="effort", choices=", ".join(EFFORTS))
        options["reasoning_effort"] = effort
    return options


def _number(setting: Setting, value: Any) -> float | None:
    if value is None or value == "":
        return setting.default
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise UserError("setting.number", name=setting.name)
    if value < setting.minimum or (setting.maximum is not None and value > setting.maximum):
        limits = {"minimum": f"{setting.minimum:g}", "maximum": f"{setting.maximum or math.inf:g}"}
        raise UserError("setting.range", name=setting.name, **limits)
    return value
