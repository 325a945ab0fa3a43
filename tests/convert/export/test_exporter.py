from pathlib import Path

import openvino as ov
import pytest
import torch

from benchmarks.conversion import byte_tokenizer
from llm_chatbot.catalogue.lookup import get_model_config
from llm_chatbot.catalogue.rows import DEFAULT_MODEL
from llm_chatbot.convert.export.exporter import export
from llm_chatbot.convert.pipeline import compress_folder, compress_model
from llm_chatbot.engine.precisions import EXACT
from llm_chatbot.folder.manifest import MODEL_XML
from llm_chatbot.folder.variant import Variant
from llm_chatbot.optimum_models import load_model
from tests.tiny_models import tiny_model


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_weights_get_16_bits_and_logits_stay_those_of_the_checkpoint(dtype: torch.dtype, tmp_path: Path):
    """Whatever the checkpoint's type: rotary frequencies that were rounded would let logits drift with the length."""
    model = tiny_model(dtype=dtype)
    export(model, byte_tokenizer(), tmp_path)
    sizes: dict[str, int] = {}
    for op in ov.Core().read_model(tmp_path / MODEL_XML).get_ops():
        if op.get_type_name() == "Constant":
            kind = op.get_element_type().get_type_name()
            sizes[kind] = sizes.get(kind, 0) + op.get_byte_size()
    assert max(sizes, key=lambda kind: sizes[kind]) == ("bf16" if dtype == torch.bfloat16 else "f16")

    ids = torch.randint(3, 250, (1, 256))
    with torch.no_grad():
        expected = model.float()(input_ids=ids).logits
    assert (load_model(tmp_path, ov_config=EXACT)(input_ids=ids).logits - expected).abs().max() < 1e-3


def test_a_model_compressed_on_its_way_is_the_one_compressed_from_the_disk(tmp_path: Path):
    compression = Variant(DEFAULT_MODEL, get_model_config(DEFAULT_MODEL), "INT4").compression
    model, tokenizer = tiny_model(), byte_tokenizer()
    export(model, tokenizer, tmp_path / "direct", lambda ir, path: compress_model(ir, path, tokenizer, compression))
    export(model, tokenizer, tmp_path / "16bit")
    (tmp_path / "indirect").mkdir()
    compress_folder(tmp_path / "16bit", tmp_path / "indirect", compression)
    files = [sorted(path.name for path in (tmp_path / name).iterdir()) for name in ("direct", "indirect")]
    assert files[0] == files[1]
    weights = [(tmp_path / name / MODEL_XML).with_suffix(".bin").read_bytes() for name in ("direct", "indirect")]
    assert weights[0] == weights[1]
