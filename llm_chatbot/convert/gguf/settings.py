"""The keys of a GGUF file → the `config.json` and `generation_config.json` of a folder.

They hold what programs that run the graph look for. How the model computes is in the graph.
"""

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from transformers import PreTrainedTokenizerFast

from llm_chatbot.decoder.build import row_of
from llm_chatbot.decoder.keys import Keys
from llm_chatbot.decoder.rotary import LONG_FACTORS, original_context
from llm_chatbot.gguf.header import GGUFHeader


def model_config(header: GGUFHeader, name: str) -> dict[str, Any]:
    """The content of `config.json`, by the names that Transformers has for most architectures.

    Args:
        name: the model's.

    Raises:
        UserError: the architecture is not supported, or the file lacks a number.
    """
    keys, row = Keys(header), row_of(header)
    heads = keys.sizes("attention.head_count")
    hidden, context = keys.size("embedding_length"), keys.size("context_length")
    if LONG_FACTORS in header.tensors:  # the graph has the factors of short contexts
        context = original_context(keys)
    size = keys.size("attention.key_length", hidden // max(heads))
    own_size = {} if size * max(heads) == hidden else {"head_dim": size}  # some of Transformers' classes have it fixed
    return {
        "model_type": row.model_type or keys.architecture,
        "name_or_path": name,
        "vocab_size": header.tensors["token_embd.weight"].shape[0],
        "hidden_size": hidden,
        "num_hidden_layers": keys.layers,
        "num_attention_heads": max(heads),
        "num_key_value_heads": max(keys.sizes("attention.head_count_kv", heads)),
        **own_size,
        "max_position_embeddings": context,
        # Where Optimum Intel would read a Phi-3 conversation again, with other factors: nowhere.
        "original_max_position_embeddings": context,
        "tie_word_embeddings": "output.weight" not in header.tensors,
        "use_cache": True,
        "transformers_version": version("transformers"),  # Optimum Intel asks how old a BLOOM is
    }


def generation_config(tokenizer: PreTrainedTokenizerFast, ends: Sequence[int] | None) -> dict[str, Any]:
    """The content of `generation_config.json`.

    Args:
        ends: ids of the tokens that end an answer.
    """
    named = {"bos_token_id": tokenizer.bos_token_id, "pad_token_id": tokenizer.pad_token_id, "eos_token_id": ends}
    return {name: id for name, id in named.items() if id is not None}
