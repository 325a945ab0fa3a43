import json
import shutil
from itertools import islice

import numpy as np
import pytest
import torch

from llm_chatbot.engine.decode.generation import stream_ids
from llm_chatbot.engine.decode.sampling import Sampling
from llm_chatbot.engine.precisions import EXACT
from llm_chatbot.optimum_models import OVChatModel, OVQWENModel, load_model
from tests.tiny_models import DATA


@pytest.fixture(scope="module")
def qwen(tiny_folders) -> tuple[OVChatModel, dict]:
    """A Qwen v1 whose original code begins to scale at 2048 tokens, and what that computes."""
    return load_model(tiny_folders["qwen"], ov_config=EXACT), dict(np.load(DATA / "qwen-tiny/reference.npz"))


@pytest.mark.parametrize("length", [2040, 2100])
def test_qwen_reads_long_prompts_as_the_original_code_does(length: int, qwen):
    """From 2040 tokens the answer crosses the limit. From 2100 the prompt is beyond it."""
    model, reference = qwen
    ids, expected = reference[f"ids_{length}"], reference[f"gen_{length}"].tolist()
    input_ids = torch.from_numpy(ids)[None]
    logits = model(input_ids=input_ids, logits_to_keep=4).logits[0].numpy()
    np.testing.assert_allclose(logits, reference[f"logits_{length}"], atol=1e-4)
    answer = model.generate(input_ids, max_new_tokens=40, min_new_tokens=40, do_sample=False)
    assert answer[0, length:].tolist() == expected

    cache = model.new_cache()
    cache.trim_to_prefix(ids[:-1].tolist())
    cache.feed(ids[:1024].tolist())
    assert list(islice(stream_ids(cache, ids[1024:].tolist(), Sampling(), set()), 40)) == expected


def test_qwens_cache_is_read_anew_where_a_longer_prompt_changes_the_scale(qwen):
    model, reference = qwen
    ids = reference["ids_2100"].tolist()
    cache = model.engine.new_stateful_cache()
    cache.feed(ids[:2040])
    assert cache.trim_to_prefix(ids[:2045]) == 2040
    assert cache.trim_to_prefix(ids[:-1]) == 0
    np.testing.assert_allclose(cache.feed(ids), reference["logits_2100"][-1], atol=1e-4)
    assert cache.trim_to_prefix(ids[:2090]) == 2090
    assert cache.trim_to_prefix(ids[:2000]) == 0


@pytest.mark.parametrize("changes", [{}, {"model_type": "qwen", "auto_map": {"AutoConfig": "configuration_qwen.X"}}])
def test_a_qwen_whose_graph_is_not_known_to_scale_ends_at_its_sequence_length(changes: dict, tiny_folders, tmp_path):
    folder = shutil.copytree(tiny_folders["qwen"], tmp_path / "qwen", ignore=shutil.ignore_patterns("model_cache"))
    config = json.loads((folder / "config.json").read_text(encoding="utf-8")) | changes
    del config["scaled_context"]
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    model = load_model(folder)
    assert type(model) is OVQWENModel
    assert model.context_length == 2048
