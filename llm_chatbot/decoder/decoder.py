"""A decoder put together from its building blocks: embeddings → layers of attention and MLP → logits."""

import math

import numpy as np
import openvino as ov
from openvino import opset13 as ops

from llm_chatbot.decoder.attention import Inputs
from llm_chatbot.decoder.blocks import Layer, activate, linear, mlp, norm, rms_norm, scaled, soft_cap
from llm_chatbot.decoder.constants import constant
from llm_chatbot.decoder.experts import Routing, mixture
from llm_chatbot.decoder.keys import Keys
from llm_chatbot.decoder.latent_attention import LatentAttention
from llm_chatbot.decoder.rotary import SECTIONS, original_context
from llm_chatbot.decoder.rows import DecoderRow
from llm_chatbot.decoder.self_attention import SelfAttention
from llm_chatbot.decoder.short_convolution import short_convolution
from llm_chatbot.decoder.tensors import Tensors

DEEP = "deepstack."  # begins the names of layers' outputs to which vectors of pictures are added

ROUTINGS = {1: "softmax", 2: "sigmoid", 3: "chosen"}  # by the file's number for them


class DecoderGraph:
    """The graph of one file's model.

    Args:
        keys: what the file says.
        tensors: its weights.
        row: what its architecture is made of.
        context, pictures: see `build_decoder`.
    """

    def __init__(
        self, keys: Keys, tensors: Tensors, row: DecoderRow, context: int | None, pictures: bool = False
    ) -> None:
        self._keys, self._tensors, self._row = keys, tensors, row
        self._hidden = keys.size("embedding_length")
        self._outer = Layer(tensors, "", self._read_epsilon(), row.norm)
        # Further vectors of pictures, each of which is added to what a layer makes (DeepStack, Meng et al. 2024,
        # arXiv:2406.04334).
        self._deep = int(keys.number("n_deepstack_layers", 0)) if pictures else 0
        self._inputs = Inputs(pictures and SECTIONS in keys, pictures and row.whole_pictures)
        kind = LatentAttention if row.latent else SelfAttention
        self._attention = kind(keys, tensors, row, self._inputs, context or original_context(keys))

    def build(self) -> ov.Model:
        """The whole graph."""
        x = self._embed()
        x.output(0).set_names({"inputs_embeds"})
        further = self._further_inputs(x)
        for index in range(self._keys.layers):
            layer = Layer(self._tensors, f"blk.{index}.", self._outer.epsilon, self._row.norm)
            x = self._layer(index, layer, x)
            if further is not None:
                x = self._with_further_input(layer, x, further, index)
            if "layer_output_scale.weight" in layer:
                x = ops.multiply(x, constant(layer.vector("layer_output_scale.weight")))
            if index < self._deep:
                x.output(0).set_names({f"{DEEP}{index}"})
        result = ops.result(self._logits(x))
        result.output(0).set_names({"logits"})
        cache = self._attention.cache
        return ov.Model([result], cache.sinks, self._inputs.parameters, cache.variables, "decoder")

    def _read_epsilon(self) -> float:
        kind = "layer_norm_rms_epsilon" if self._row.norm == "rms" else "layer_norm_epsilon"
        return self._keys.number(f"attention.{kind}")

    def _embed(self) -> ov.Node:
        """The embeddings of the tokens, [batch, tokens] → [batch, tokens, hidden size]."""
        x = ops.gather(self._tensors.matrix("token_embd.weight"), self._inputs.input_ids, constant(0))
        default = math.sqrt(self._hidden) if self._row.embeddings_by_root else self._row.embedding_scale
        x = scaled(x, self._keys.number("embedding_scale", default))
        if "position_embd.weight" in self._tensors:
            table = self._tensors.matrix("position_embd.weight")
            x = ops.add(x, ops.gather(table, self._inputs.position_ids, constant(0)))
        has_norm = "token_embd_norm.weight" in self._outer and self._row.output_norm != "token_embd_norm"
        return norm(x, self._outer, "token_embd_norm") if has_norm else x

    def _layer(self, index: int, layer: Layer, x: ov.Node) -> ov.Node:
        """Attention, then the MLP; each adds to what it reads. Without a norm of its own, or if the file says so, the
        MLP reads what the attention reads."""
        mlp_norm = self._row.mlp_norm
        normed = norm(x, layer, "attn_norm") if "attn_norm.weight" in layer else x
        attended = self._mixed(index, layer, norm(x, layer, "attn_norm_2") if "attn_norm_2.weight" in layer else normed)
        if "post_attention_norm.weight" in layer and mlp_norm != "post_attention_norm":
            attended = norm(attended, layer, "post_attention_norm")
        residual = self._residual_scale()
        added = ops.add(x, scaled(attended, residual))
        if f"{mlp_norm}.weight" in layer:
            read = norm(x if self._keys.get("use_parallel_residual", False) else added, layer, mlp_norm)
        else:
            read = normed if "attn_norm.weight" in layer else added
        out = self._two_kinds(layer, read, added) if "post_ffw_norm_1.weight" in layer else self._mlp(layer, read)
        if "post_ffw_norm.weight" in layer:
            out = norm(out, layer, "post_ffw_norm")
        return ops.add(added, scaled(out, residual))

    def _mixed(self, index: int, layer: Layer, x: ov.Node) -> ov.Node:
        """The values of the tokens before, mixed by attention or a short convolution."""
        if "shortconv.conv.weight" in layer:
            return short_convolution(x, index, layer, self._inputs, self._attention.cache)
        return self._attention.attend(index, layer, x)

    def _residual_scale(self) -> float:
        depth = math.sqrt(self._keys.layers) if self._row.residual_by_depth else 1.0
        return self._keys.number("residual_scale", self._row.residual_scale / depth)

    def _mlp(self, layer: Layer, x: ov.Node) -> ov.Node:
        if "ffn_gate_inp.weight" in layer:
            return mixture(x, layer, self._routing(), self._row.activation)
        return mlp(x, layer, self._row.activation)

    def _two_kinds(self, layer: Layer, x: ov.Node, added: ov.Node) -> ov.Node:
        """An MLP beside experts (Gemma 4's 26B).

        Args:
            added: what both read before it is normalised.
        """
        one = norm(mlp(x, layer, self._row.activation), layer, "post_ffw_norm_1")
        scale = layer.vector("ffn_gate_inp.scale") / np.float32(math.sqrt(self._hidden))
        routed = ops.multiply(rms_norm(added, layer.epsilon), constant(scale))
        many = mixture(norm(added, layer, "pre_ffw_norm_2"), layer, self._routing(), self._row.activation, routed)
        return ops.add(one, norm(many, layer, "post_ffw_norm_2"))

    def _further_inputs(self, x: ov.Node) -> ov.Node | None:
        """Each layer's further input of the tokens, [batch, tokens, layers, size] (Gemma 3n and 4)."""
        size = int(self._keys.number("embedding_length_per_layer_input", 0))
        if not size:
            return None
        shape = constant([0, 0, self._keys.layers, size])
        table = self._tensors.matrix("per_layer_token_embd.weight")
        own = ops.reshape(ops.gather(table, self._inputs.input_ids, constant(0)), shape, True)
        made = scaled(linear(x, self._outer, "per_layer_model_proj"), 1 / math.sqrt(self._hidden))
        made = norm(ops.reshape(made, shape, True), self._outer, "per_layer_proj_norm")
        return scaled(ops.add(made, scaled(own, math.sqrt(size))), 1 / math.sqrt(2))

    def _with_further_input(self, layer: Layer, x: ov.Node, further: ov.Node, index: int) -> ov.Node:
        own = ops.gather(further, constant(index), constant(2))
        gated = ops.multiply(activate(linear(x, layer, "inp_gate"), self._row.activation), own)
        return ops.add(x, norm(linear(gated, layer, "proj"), layer, "post_norm"))

    def _routing(self) -> Routing:
        keys, row = self._keys, self._row
        kind = keys.get("expert_gating_func", 0)
        if kind and kind not in ROUTINGS:
            raise keys.refusal("gguf.routing", method=f"{kind!r:.80}")
        return Routing(
            used=keys.size("expert_used_count"),
            kind=ROUTINGS[kind] if kind else row.routing,
            normalised=bool(keys.get("expert_weights_norm", row.normalised_routing)),
            scale=keys.number("expert_weights_scale", 0.0) or 1.0,
            groups=keys.size("expert_group_count", 1),
            used_groups=keys.size("expert_group_used_count", 1),
        )

    def _logits(self, x: ov.Node) -> ov.Node:
        """The scores of all tokens for the next position, [batch, tokens, vocabulary]."""
        name = "output" if "output.weight" in self._outer else "token_embd"
        logits = linear(norm(x, self._outer, self._row.output_norm), self._outer, name)
        scale = self._keys.number("logit_scale", (self._row.logit_scale_of_width or 0) * self._hidden) or 1.0
        logits = scaled(logits, 1 / scale if self._row.logits_divided else scale)
        cap = self._keys.number("final_logit_softcapping", self._row.logits_cap)
        return soft_cap(logits, cap) if cap else logits
