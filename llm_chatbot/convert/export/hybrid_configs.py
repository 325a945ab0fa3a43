"""Export configurations of hybrid models, which Optimum Intel 2.2 has for older versions of Transformers only.

Two things are added to them. Its caches derive from classes that Transformers 5.5 has no longer. And its graphs count
positions from the keys that are cached, which OpenVINO's paged form can't do: there each token would be at position 0.
Here positions are an input. See tests/engine/cache/test_hybrid_models.py.
"""

from functools import partial
from types import MethodType
from typing import Any, cast

import torch
from optimum.exporters.openvino.base import OpenVINOConfig
from optimum.exporters.openvino.model_configs import (
    GraniteMoeHybridOpenVINOConfig,
    LFM2MoeOpenVINOConfig,
    LFM2OpenVINOConfig,
    Qwen3_5MoeTextOpenVINOConfig,
    Qwen3_5TextOpenVINOConfig,
    Qwen3NextOpenVINOConfig,
)
from optimum.exporters.openvino.model_patcher import (
    GraniteMoeHybridModelPatcher,
    Lfm2ModelPatcher,
    Lfm2MoeModelPatcher,
    Qwen3_5ModelPatcher,
    Qwen3_5MoeModelPatcher,
    patched_qwen3_5_moe_sparse_moe_block,
    qwen3_next_gated_delta_net_forward,
)
from transformers import PreTrainedConfig
from transformers.models.lfm2 import modeling_lfm2
from transformers.models.qwen3_5 import modeling_qwen3_5


class HybridCache:
    """The base of Optimum Intel's caches of hybrid models, in place of classes of Transformers before 5.4."""

    is_compileable = False

    def __init__(self, config: PreTrainedConfig, max_batch_size: int | None = None) -> None:
        self.layer_types = config.layer_types
        attention = [index for index, kind in enumerate(config.layer_types) if kind == "full_attention"]
        self.transformer_layers, self.first_attention_layer = attention, attention[0]

    def get_mask_sizes(self, query_length: int, layer_idx: int) -> tuple[int, int]:
        """The length of the attention mask, and its offset."""
        return cast(Any, self).get_seq_length(layer_idx) + query_length, 0


# Optimum Intel imports them from where they were.
modeling_lfm2.Lfm2HybridConvCache = HybridCache  # type: ignore[attr-defined]
modeling_qwen3_5.Qwen3_5DynamicCache = HybridCache  # type: ignore[attr-defined]


def with_positions(patcher: Any) -> Any:
    """A patcher of Optimum Intel whose graphs have `position_ids` as an input."""

    class WithPositions(patcher):
        patched_forward: Any
        model_orig_forward: Any

        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            forward, original = self.patched_forward, self.model_orig_forward

            def at_positions(
                input_ids: torch.Tensor,
                attention_mask: torch.Tensor | None = None,
                position_ids: torch.Tensor | None = None,
                cache_params: list[torch.Tensor] | None = None,
            ) -> dict[str, Any]:
                self.model_orig_forward = partial(original, position_ids=position_ids)
                try:
                    return forward(input_ids=input_ids, attention_mask=attention_mask, cache_params=cache_params)
                finally:
                    self.model_orig_forward = original

            self.patched_forward = self.orig_forward = at_positions

    return WithPositions


def without_padding(patcher: Any) -> Any:
    """A patcher whose linear attention is told of no padding, which this project's engine never has."""

    class WithoutPadding(patcher):
        def __enter__(self) -> None:
            super().__enter__()
            self._model.model._update_linear_attn_mask = lambda attention_mask, past_key_values: None

        def __exit__(self, *raised: Any) -> None:
            super().__exit__(*raised)
            del self._model.model._update_linear_attn_mask

    return WithoutPadding


class Qwen3NextPatcher(Qwen3_5ModelPatcher):
    """Qwen3-Next as a Qwen3.5: only its projections have another order, and its experts have the newer form."""

    def __enter__(self) -> None:
        super().__enter__()
        for layer in self._model.model.layers:
            if hasattr(layer, "linear_attn"):
                layer.linear_attn.forward = MethodType(qwen3_next_gated_delta_net_forward, layer.linear_attn)
            if hasattr(layer.mlp, "experts"):
                layer.mlp.forward = MethodType(patched_qwen3_5_moe_sparse_moe_block, layer.mlp)

    def __exit__(self, *raised: Any) -> None:
        super().__exit__(*raised)
        for layer in self._model.model.layers:
            if hasattr(layer.mlp, "experts"):
                del layer.mlp.forward


class PositionsAsInput(OpenVINOConfig):
    """The input of `with_positions`."""

    @property
    def inputs(self) -> dict[str, dict[int, str]]:
        return {**super().inputs, "position_ids": {0: "batch_size", 1: "sequence_length"}}


class GraniteHybridConfig(PositionsAsInput, GraniteMoeHybridOpenVINOConfig):
    _MODEL_PATCHER = with_positions(GraniteMoeHybridModelPatcher)


class Lfm2Config(PositionsAsInput, LFM2OpenVINOConfig):
    _MODEL_PATCHER = with_positions(Lfm2ModelPatcher)


class Lfm2MoeConfig(PositionsAsInput, LFM2MoeOpenVINOConfig):
    _MODEL_PATCHER = with_positions(Lfm2MoeModelPatcher)


class Qwen35Config(Qwen3_5TextOpenVINOConfig):
    _MODEL_PATCHER = without_padding(with_positions(Qwen3_5ModelPatcher))


class Qwen35MoeConfig(Qwen3_5MoeTextOpenVINOConfig):
    _MODEL_PATCHER = without_padding(with_positions(Qwen3_5MoeModelPatcher))


class Qwen3NextConfig(PositionsAsInput, Qwen3NextOpenVINOConfig):
    _MODEL_PATCHER = without_padding(with_positions(Qwen3NextPatcher))
