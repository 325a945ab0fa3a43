"""The export configuration of Gemma 4's language model without its vision tower.

Optimum Intel 2.2 has one for the whole model only: of the language model alone, its example has more tokens in the
layers with a window than in the others, and its experts can't be traced.
"""

from types import MethodType
from typing import Any

from optimum.exporters.openvino.input_generators import DummyTextInputGenerator, Gemma4DummyPastKeyValuesGenerator
from optimum.exporters.openvino.model_configs import Gemma4TextOpenVINOConfig
from optimum.exporters.openvino.model_patcher import Gemma2ModelPatcher, lfm2_moe_experts_forward


class PastOfEqualLength(Gemma4DummyPastKeyValuesGenerator):
    """Example keys and values with the same number of tokens in all layers."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.sliding_window = self.sequence_length


class Gemma4TextPatcher(Gemma2ModelPatcher):
    """Computes the experts as two batched products, as Optimum Intel does it for LFM2, whose experts are the same."""

    def __enter__(self) -> None:
        super().__enter__()
        for layer in self._model.model.layers:
            if hasattr(layer, "experts"):
                layer.experts.forward = MethodType(lfm2_moe_experts_forward, layer.experts)

    def __exit__(self, *raised: Any) -> None:
        super().__exit__(*raised)
        for layer in self._model.model.layers:
            if hasattr(layer, "experts"):
                del layer.experts.forward


class Gemma4TextConfig(Gemma4TextOpenVINOConfig):
    DUMMY_INPUT_GENERATOR_CLASSES = (DummyTextInputGenerator, PastOfEqualLength)
    DUMMY_PKV_GENERATOR_CLASS = PastOfEqualLength
    _MODEL_PATCHER = Gemma4TextPatcher
