"""The fields of a request that say how tokens are chosen, OpenAI's and those that most servers of open models know.

`dry_…` and `xtc_…` have llama.cpp's names and defaults:
https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md.
"""

from typing import Annotated, Any

from pydantic import Field

from llm_chatbot.api.chat_messages import Body
from llm_chatbot.api.number_types import Bias, Integer, Number, TokenId
from llm_chatbot.engine.decode.dry import BREAKERS, Dry

MAX_STOPS = 64
MAX_BIASES = 1024
MAX_BREAKERS = 32


class SamplingFields(Body):
    temperature: Number = Field(1.0, ge=0, le=2)
    top_p: Number = Field(1.0, ge=0, le=1)
    top_k: Integer = Field(0, ge=-1)
    min_p: Number = Field(0.0, ge=0, le=1)
    repetition_penalty: Number = Field(1.0, gt=0, le=2)
    presence_penalty: Number = Field(0.0, ge=-2, le=2)
    frequency_penalty: Number = Field(0.0, ge=-2, le=2)
    logit_bias: dict[TokenId, Bias] = Field({}, max_length=MAX_BIASES)
    dry_multiplier: Number = Field(0.0, ge=0, le=100)
    dry_base: Number = Field(1.75, ge=1, le=100)
    dry_allowed_length: Integer = Field(2, ge=0)
    dry_penalty_last_n: Integer = Field(-1, ge=-1)
    dry_sequence_breakers: list[str] = Field(list(BREAKERS), max_length=MAX_BREAKERS)
    xtc_probability: Number = Field(0.0, ge=0, le=1)
    xtc_threshold: Number = Field(0.1, ge=0, le=1)
    ignore_eos: bool = False
    seed: Integer | None = None
    stop: str | Annotated[list[str], Field(max_length=MAX_STOPS)] = Field([])

    @property
    def stops(self) -> tuple[str, ...]:
        """The strings that end an answer, without empty ones."""
        return tuple(filter(None, [self.stop] if isinstance(self.stop, str) else self.stop))

    def options(self) -> dict[str, Any]:
        """The same for `llm_chatbot.answering.options.make_generation`."""
        return {
            "temperature": self.temperature,
            "top_p": self.top_p,
            "top_k": max(self.top_k, 0),
            "min_p": self.min_p,
            "repetition_penalty": self.repetition_penalty,
            "presence_penalty": self.presence_penalty,
            "frequency_penalty": self.frequency_penalty,
            "logit_bias": self.logit_bias,
            "xtc_probability": self.xtc_probability,
            "xtc_threshold": self.xtc_threshold,
            "dry": self._dry(),
            "ignore_eos": self.ignore_eos,
            "seed": self.seed,
            "stop": self.stops,
        }

    def _dry(self) -> Dry | None:
        if not self.dry_multiplier:
            return None
        breakers = tuple(filter(None, self.dry_sequence_breakers))
        return Dry(self.dry_multiplier, self.dry_base, self.dry_allowed_length, self.dry_penalty_last_n, breakers)
