"""LoRA adapters beside the weights of a paged graph: each token of a call has those of its conversation, or none.

To a product x · Wᵀ is added (x · Aᵀ * w) · Bᵀ, where A and B hold the matrices of all adapters, and w says for each
token how much of each rank is added: nothing of those of other adapters. Products of the same activations share one A.
The matrices are constants, because the runtime multiplies with inputs more slowly.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import openvino as ov
import openvino.opset13 as ops

from llm_chatbot.adapters.low_rank import Adapter, LowRank
from llm_chatbot.engine.graph.logits import UNPACKING, skip
from llm_chatbot.engine.graph.paged_graph import ADAPTER_WEIGHTS
from llm_chatbot.errors import UserError

# The matrices of a layer by the names that PEFT has for them, and GGUF files.
ADAPTED = {
    "q_proj": "attn_q",
    "k_proj": "attn_k",
    "v_proj": "attn_v",
    "qkv_proj": "attn_qkv",
    "o_proj": "attn_output",
    "gate_proj": "ffn_gate",
    "up_proj": "ffn_up",
    "gate_up_proj": "ffn_up",
    "down_proj": "ffn_down",
}
# In the names of the language model's layers, and of their weights' constants: "model.layers.3.mlp.up_proj",
# "self.model.layers.3.mlp.up_proj.weight_compressed", "blk.3.ffn_up.weight". A vision tower has layers too.
ADAPTED_LAYER = re.compile(
    r"(?:(?:self|model|language_model)\.)*(?:layers|blk)\.(\d+)\.(?:self_attn\.|mlp\.)?(\w+)(?:\.|$)"
)


@dataclass(frozen=True)
class AdaptedProduct:
    """A product that adapters change.

    Attributes:
        activations: what it reads.
        readers: who reads it; they outlive the product, which others may rewrite.
        low_rank: the change of each adapter that changes it, by the adapter's number.
    """

    activations: ov.Output
    readers: Sequence[ov.Input]
    low_rank: Mapping[int, LowRank]

    @property
    def owners(self) -> list[int]:
        """The number of each rank's adapter."""
        return [number for number, change in self.low_rank.items() for _ in range(len(change.right))]

    def down(self) -> np.ndarray:
        """The matrices A, one below the other: float32 [ranks, inputs]."""
        return np.concatenate([change.right for change in self.low_rank.values()])

    def up(self) -> np.ndarray:
        """The matrices B with their scales, side by side: float32 [outputs, ranks]."""
        return np.concatenate([change.scale * change.left for change in self.low_rank.values()], axis=1)


def adapted_products(model: ov.Model, adapters: Sequence[Adapter], base: Path) -> list[AdaptedProduct]:
    """The products of a graph that adapters change.

    Args:
        model: before its products are rewritten.
        base: the model's folder or file, for messages.

    Raises:
        UserError: an adapter is for another model, or of a form that only merging can have.
    """
    named = _products(model) if adapters else {}
    changes: dict[str, dict[int, LowRank]] = {}
    for number, adapter in enumerate(adapters):
        if adapter.replaced:
            raise _only_merged(adapter, next(iter(adapter.replaced)))
        for layer, change in adapter.low_rank.items():
            place = _place(layer)
            if place is None or change.magnitude is not None or not change.outputs_first:
                raise _only_merged(adapter, layer)
            products = named.get(place, [])
            if not products:
                raise UserError("adapter.no_layer", name=adapter.name, layer=f"{layer:.120}", base=base)
            if len(products) > 1:
                raise _only_merged(adapter, layer)
            if (shape := _shape(products[0])) != change.shape:
                values = {"layer": f"{layer:.120}", "wanted": list(change.shape), "there": list(shape)}
                raise UserError("adapter.shape", name=adapter.name, base=base, **values)
            changes.setdefault(place, {})[number] = change
    return [_adapted(named[place][0], low_rank) for place, low_rank in changes.items()]


def attach_adapters(model: ov.Model, products: Sequence[AdaptedProduct], count: int) -> None:
    """Adds adapters to a graph in place, and the input `ADAPTER_WEIGHTS`.

    Args:
        products: found in the graph before.
        count: how many adapters there are.
    """
    weights = ops.parameter([-1, count], np.float32, name=ADAPTER_WEIGHTS)
    weights.output(0).set_names({ADAPTER_WEIGHTS})
    weights_of_ranks: dict[tuple[int, ...], ov.Node] = {}
    by_activations: dict[tuple[str, int], list[AdaptedProduct]] = {}
    for product in products:
        activations = product.activations
        by_activations.setdefault((activations.node.get_name(), activations.get_index()), []).append(product)
    for group in by_activations.values():
        owners = tuple(owner for product in group for owner in product.owners)
        if owners not in weights_of_ranks:
            chosen = ops.gather(weights, ops.constant(np.array(owners, np.int32)), ops.constant(1))
            weights_of_ranks[owners] = ops.unsqueeze(chosen, ops.constant(1))  # [tokens, 1, ranks]
        _attach(group, weights_of_ranks[owners])
    model.add_parameters([weights])
    model.validate_nodes_and_infer_types()


def adapters_digest(adapters: Sequence[Adapter]) -> str:
    """SHA-256 of the adapters' matrices and scales in their order, for the fingerprint of the compiled model: hex."""
    digest = hashlib.sha256()
    for adapter in adapters:
        for layer, change in sorted(adapter.low_rank.items()):
            digest.update(f"{layer} {change.shape} {change.scale}".encode())
            digest.update(change.left.tobytes() + change.right.tobytes())
        digest.update(b"end")
    return digest.hexdigest()


def _attach(group: Sequence[AdaptedProduct], weights: ov.Node) -> None:
    """Adds to products of the same activations what the adapters make of these; weights [tokens, 1, ranks]."""
    activations = group[0].activations
    down = ops.matmul(activations, ops.constant(np.concatenate([product.down() for product in group])), False, True)
    added = ops.matmul(ops.multiply(down, weights), ops.constant(_block_diagonal(group)), False, True)
    parts = added.outputs()
    if len(group) > 1:
        parts = ops.variadic_split(added, -1, [len(product.up()) for product in group]).outputs()
    for product, part in zip(group, parts, strict=True):
        total = ops.add(product.readers[0].get_source_output(), part)
        for reader in product.readers:
            reader.replace_source_output(total.output(0))


def _block_diagonal(group: Sequence[AdaptedProduct]) -> np.ndarray:
    """The matrices B of several products, each for its own ranks: float32 [all outputs, all ranks]."""
    blocks = [product.up() for product in group]
    result = np.zeros(np.sum([block.shape for block in blocks], axis=0), np.float32)
    row = column = 0
    for block in blocks:
        result[row : row + len(block), column : column + block.shape[1]] = block
        row, column = row + len(block), column + block.shape[1]
    return result


def _products(model: ov.Model) -> dict[str, list[ov.Node]]:
    """The products with the matrices of layers, by their places; several where a matrix is in parts."""
    found: dict[str, list[ov.Node]] = {}
    for node in model.get_ordered_ops():
        if node.get_type_name() == "MatMul":
            weight = skip(node.input_value(1).node, *UNPACKING)
            place = _place(weight.get_friendly_name()) if weight.get_type_name() == "Constant" else None
            if place is not None:
                found.setdefault(place, []).append(node)
    return found


def _place(name: str) -> str | None:
    """A layer's name in one form: "3.ffn_up"; None: it is none of `ADAPTED`."""
    match = ADAPTED_LAYER.match(name)
    kind = ADAPTED.get(match[2], match[2]) if match else None
    return f"{match[1]}.{kind}" if match and kind in ADAPTED.values() else None


def _shape(product: ov.Node) -> tuple[int, ...]:
    """Outputs and inputs."""
    shape = tuple(product.input_value(1).get_shape())
    return shape if product.get_attributes()["transpose_b"] else shape[::-1]


def _adapted(product: ov.Node, low_rank: Mapping[int, LowRank]) -> AdaptedProduct:
    readers = list(product.output(0).get_target_inputs())
    return AdaptedProduct(_unsorted_input(product), readers, low_rank)


def _unsorted_input(product: ov.Node) -> ov.Output:
    """The activations of a product, before they are sorted for a matrix of GPTQ: an adapter's columns are not."""
    activations = product.input_value(0)
    order = activations.node
    is_sorted = order.get_type_name() == "Gather" and order.input_value(1).node.get_type_name() == "Constant"
    return order.input_value(0) if is_sorted else activations


def _only_merged(adapter: Adapter, layer: str) -> UserError:
    return UserError("adapter.only_merged", name=adapter.name, layer=f"{layer:.120}")
