"""Weight matrices as a converted folder stores them, and as they are used."""

from pathlib import Path

import numpy as np
import openvino as ov

from llm_chatbot.errors import UserError
from llm_chatbot.folder.manifest import MODEL_XML


def first_matrix(folder: Path, bits: int) -> int:
    """The place of the first matrix product whose weights have this many bits. It is the same in all variants, whose
    names for it may differ.

    Raises:
        UserError: there is none.
    """
    for place, product in enumerate(_products(folder)):
        constant = _constant(product.input_value(1).node)
        if constant is not None and constant.get_element_type().bitwidth == bits:
            return place
    raise UserError("matrix.no_bits", folder=folder, bits=bits)


def read_matrix(folder: Path, place: int) -> np.ndarray:
    """A product's weights as they are multiplied, float32 [rows, columns].

    Raises:
        UserError: there is no such product.
    """
    weights = value(_weights(folder, place))
    return weights.reshape(weights.shape[0], -1).astype(np.float32)


def read_codes(folder: Path, place: int) -> np.ndarray:
    """A product's weights as they are stored, before zero points and scales: integers [rows, columns] of few bits.

    Raises:
        UserError: there is no such product.
    """
    constant = _constant(_weights(folder, place).node)
    assert constant is not None
    codes = value(ov.opset13.convert(constant, "f32").output(0))  # NumPy has no type of 4 bits
    return codes.reshape(codes.shape[0], -1).astype(int)


def value(output: ov.Output) -> np.ndarray:
    """Computes a part of a graph that depends on constants only."""
    return ov.compile_model(ov.Model([output], []), "CPU")()[0]


def _weights(folder: Path, place: int) -> ov.Output:
    """The matrix that a product multiplies with.

    Raises:
        UserError: there is no such product.
    """
    products = _products(folder)
    if place >= len(products):
        raise UserError("matrix.no_product", folder=folder, place=place)
    return products[place].input_value(1)


def _products(folder: Path) -> list[ov.Node]:
    """The matrix products of a folder's graph, in their order."""
    nodes = ov.Core().read_model(folder / MODEL_XML).get_ordered_ops()
    return [node for node in nodes if node.get_type_name() == "MatMul"]


def _constant(node: ov.Node) -> ov.Node | None:
    """The constant that a weight is made of: the first operand of each step; None if it depends on an input."""
    while node.get_input_size():
        node = node.input_value(0).node
    return node if node.get_type_name() == "Constant" else None
