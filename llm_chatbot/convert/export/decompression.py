"""Marks conversions of 16-bit weights in a saved graph, so that the runtime keeps the weights as they are.

Without the mark it converts each weight once and keeps it in 32 bits. `ov.save_model` writes the mark only for weights
that it compresses itself, and Python can't make the attribute.
"""

from pathlib import Path
from xml.etree import ElementTree

SMALL_FLOATS = {"f16", "bf16"}


def mark_decompression(path: Path) -> None:
    """Adds the mark to each Convert whose input is a constant of 16-bit floats, in a model's .xml file."""
    tree = ElementTree.parse(path)
    layers = {layer.get("id"): layer for layer in tree.iter("layer")}
    for edge in tree.iter("edge"):
        source, target = layers[edge.get("from-layer")], layers[edge.get("to-layer")]
        data = source.find("data")
        is_small = source.get("type") == "Const" and data is not None and data.get("element_type") in SMALL_FLOATS
        if is_small and target.get("type") == "Convert" and target.find("rt_info") is None:
            info = ElementTree.Element("rt_info")
            ElementTree.SubElement(info, "attribute", name="decompression", version="0")
            target.insert(0, info)
    tree.write(path, encoding="utf-8", xml_declaration=True)
