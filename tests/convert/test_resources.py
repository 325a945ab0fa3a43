import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from llm_chatbot.catalogue.row import Int4Settings, ModelConfig
from llm_chatbot.catalogue.rows import DEFAULT_MODEL, SUPPORTED_LLM_MODELS
from llm_chatbot.convert import resources
from llm_chatbot.convert.resources import (
    chat_memory,
    check_resources,
    disk_needed,
    kv_values_per_token,
    memory_needed,
    weights_in_memory,
)
from llm_chatbot.errors import UserError
from llm_chatbot.folder.manifest import MODEL_BIN
from llm_chatbot.folder.place import AS_IN_FILE, model_folder
from llm_chatbot.folder.variant import Variant

ROOT = Path(__file__).resolve().parents[2]
GB = 1_000_000_000
CONFIG = ModelConfig(model_id="org/name", description="", license="", int4=Int4Settings(group_size=50, ratio=0.8))
FP16, INT8, INT4 = (Variant("org/name", CONFIG, precision) for precision in ("FP16", "INT8", "INT4"))


def test_disk_is_needed_for_the_result_and_a_second_copy_of_compressed_weights():
    spare = 20_000_000
    assert disk_needed(FP16, 1000 * 1000) == pytest.approx(2.2e6 + spare)
    assert disk_needed(INT8, 1000 * 1000) == pytest.approx(2.2e6 + spare)
    assert disk_needed(INT4, 1000 * 1000) == pytest.approx(2.2e6 * (0.8 * 0.55 + 0.2) + spare)


def test_a_gguf_file_is_unpacked_on_the_disk():
    gguf = replace(CONFIG, checkpoint=Path("a.gguf"))
    assert disk_needed(replace(INT8, config=gguf), GB) == disk_needed(INT8, GB) + 2 * GB
    own = Variant("a.gguf", gguf, AS_IN_FILE)
    assert disk_needed(own, GB, weights=600_000_000) == 2 * 600_000_000 + 20_000_000


def test_memory_is_needed_for_scale_estimation():
    base = memory_needed(INT4, GB)
    assert base == memory_needed(INT4, 7 * GB) == resources.MEMORY_NEEDED
    fitted = replace(CONFIG, int4=Int4Settings(scale_estimation=True))
    assert memory_needed(replace(INT4, config=fitted), GB) == base + 4 * GB
    assert memory_needed(replace(INT8, config=fitted), GB) == base


def test_experts_need_memory_where_they_are_joined_there_and_disk_where_they_are_joined_in_a_file():
    experts = replace(CONFIG, active_parameters=GB // 10)
    in_memory, in_file = (replace(INT4, config=replace(experts, stacks_experts=stacks)) for stacks in (False, True))
    assert memory_needed(in_memory, GB) == memory_needed(INT4, GB) + 2 * GB
    assert memory_needed(in_file, GB) == memory_needed(INT4, GB)
    assert disk_needed(in_memory, GB) == disk_needed(INT4, GB) == disk_needed(in_file, GB) - 2 * GB


def test_a_limit_that_is_too_low_is_refused_with_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    monkeypatch.setattr(resources, "available_memory", lambda: 10 * GB)
    check_resources(INT8, 1000, tmp_path)
    assert "org/name in INT8 needs about 0.0 GB of disk space" in capsys.readouterr().out
    monkeypatch.setattr(resources, "available_memory", lambda: 1 * GB)
    with pytest.raises(UserError, match=r"1\.0 GB of memory are free .* 1\.5 GB; .*raise the container's memory limit"):
        check_resources(INT8, 1000, tmp_path)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (
            {"num_hidden_layers": 2, "num_attention_heads": 8, "num_key_value_heads": 4, "hidden_size": 512},
            2 * 2 * 4 * 64,
        ),
        ({"num_hidden_layers": 2, "num_attention_heads": 8, "hidden_size": 512, "head_dim": 128}, 2 * 2 * 8 * 128),
        ({"n_layers": 3, "n_heads": 4, "d_model": 64}, 2 * 3 * 4 * 16),
        (
            {"num_layers": 2, "kv_channels": 16, "multi_query_attention": True, "multi_query_group_num": 2},
            2 * 2 * 2 * 16,
        ),
        ({"text_config": {"n_layer": 1, "n_head": 2, "n_embd": 8}}, 2 * 1 * 2 * 4),
        (  # a layer in four grows
            {
                "text_config": {
                    "num_hidden_layers": 4,
                    "layer_types": ["linear_attention"] * 3 + ["full_attention"],
                    "num_key_value_heads": 2,
                    "head_dim": 16,
                }
            },
            2 * 2 * 16,
        ),
        (  # the last two read what the others keep; one of those is wider
            {
                "num_hidden_layers": 4,
                "num_kv_shared_layers": 2,
                "layer_types": ["sliding_attention", "full_attention"] * 2,
                "num_key_value_heads": 2,
                "head_dim": 16,
                "global_head_dim": 32,
            },
            2 * (2 * 16 + 2 * 32),
        ),
        (
            {
                "num_hidden_layers": 2,
                "layer_types": ["sliding_attention", "full_attention"],
                "num_key_value_heads": 4,
                "head_dim": 16,
                "global_head_dim": 32,
                "attention_k_eq_v": True,
                "num_global_key_value_heads": 1,
            },
            2 * (4 * 16 + 32),
        ),
        ({"num_hidden_layers": "two", "num_attention_heads": 8}, None),
        ({}, None),
    ],
)
def test_architectures_name_the_size_of_their_cache_in_their_own_way(config: dict, expected: int | None):
    assert kv_values_per_token(config) == expected


MEASURE = """
import sys
from pathlib import Path
from llm_chatbot.engine.loading import open_model
from llm_chatbot.engine.session import ChatSession
from llm_chatbot.engine.text.tokenizer import FolderTokenizer
import psutil

def memory():
    info = psutil.Process().memory_info()
    return info.rss - getattr(info, "shared", 0)  # without the file's pages, which are the page cache's

tokenizer, before = FolderTokenizer(Path(sys.argv[1])), memory()
session = ChatSession(open_model(sys.argv[1], kv_cache_gb=0.1), tokenizer)
*_, answer = session.answer([{"role": "user", "content": "Tell me a story. " * 780}], max_new_tokens=4)
print(answer.prompt_tokens, memory() - before)
"""


@pytest.mark.parametrize("precision", ["INT4", "FP16"])
def test_the_memory_of_a_chat_is_foretold(precision: str, models_root: Path):
    """Measured: never more than is said, and at least six tenths of it, with 3,900 tokens in the cache."""
    folder = model_folder(DEFAULT_MODEL, precision, models_root)
    done = subprocess.run([sys.executable, "-c", MEASURE, str(folder)], cwd=ROOT, capture_output=True, text=True)
    tokens, measured = map(int, done.stdout.split())
    weights = weights_in_memory((folder / MODEL_BIN).stat().st_size, precision)
    foretold = chat_memory(weights, SUPPORTED_LLM_MODELS[DEFAULT_MODEL].kv_values or 0, tokens)
    assert tokens > 3500 and 0.6 * foretold < measured < foretold
