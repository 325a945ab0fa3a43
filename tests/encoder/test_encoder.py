"""Encoders say what Transformers' models say."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from transformers import (
    BertForSequenceClassification,
    BertModel,
    PreTrainedModel,
    XLMRobertaForSequenceClassification,
    XLMRobertaModel,
)

from llm_chatbot.encoder.encoder import TextTooLongError
from llm_chatbot.encoder.loading import load_cross_encoder, load_encoder
from llm_chatbot.engine.errors import NonFiniteError
from llm_chatbot.errors import UserError
from tests.encoder.small_encoders import TOKENS, WORDS, write_bert, write_xlm_roberta

TEXTS = [
    "The capital of France is Paris.",
    "Food?",
    "",
    "the dog " * 18,
    "A man is eating food, the dog is eating a man.",
]

Write = Callable[..., PreTrainedModel]
KINDS = [(write_bert, BertModel), (write_xlm_roberta, XLMRobertaModel)]


def pooled(states: torch.Tensor, pooling: str) -> torch.Tensor:
    """Of one text, as sentence-transformers pools: states [1, tokens, hidden]."""
    pooled = {"mean": states.mean(1), "cls": states[:, 0], "max": states.max(1).values}[pooling]
    return torch.nn.functional.normalize(pooled)[0]


@pytest.mark.parametrize("pooling", ["mean", "cls", "max"])
@pytest.mark.parametrize(("write", "kind"), KINDS)
def test_vectors_are_those_of_transformers(write: Write, kind: Any, pooling: str, tmp_path: Path):
    """Beside shorter and longer texts, whose padding must not count, and texts of one token."""
    model, encoder = write(tmp_path, kind, pooling), load_encoder(str(tmp_path))
    vectors = encoder.embed(TEXTS)
    assert vectors.shape == (len(TEXTS), encoder.dimensions) and vectors.dtype == np.float32
    for text, vector, tokens in zip(TEXTS, vectors, encoder.tokenize(TEXTS), strict=True):
        with torch.no_grad():
            expected = pooled(model(input_ids=torch.tensor([tokens.ids])).last_hidden_state, pooling)
        np.testing.assert_allclose(vector, expected.numpy(), atol=2e-6, err_msg=text)


@pytest.mark.parametrize("activation", ["gelu_new", "relu", "silu"])
def test_other_activations_are_those_of_transformers(activation: str, tmp_path: Path):
    model = write_bert(tmp_path, BertModel, hidden_act=activation)
    encoder = load_encoder(str(tmp_path))
    ids = encoder.tokenize(TEXTS[:1])[0].ids
    with torch.no_grad():
        expected = pooled(model(input_ids=torch.tensor([ids])).last_hidden_state, "mean")
    np.testing.assert_allclose(encoder.embed(TEXTS[:1])[0], expected.numpy(), atol=2e-6)


CLASSIFIERS = [(write_bert, BertForSequenceClassification), (write_xlm_roberta, XLMRobertaForSequenceClassification)]


@pytest.mark.parametrize(("write", "kind"), CLASSIFIERS)
def test_scores_of_a_question_and_texts_are_those_of_transformers(write: Write, kind: Any, tmp_path: Path):
    model = write(tmp_path, kind, num_labels=1)
    encoder = load_cross_encoder(str(tmp_path))
    texts = TEXTS[:3]
    for tokens, score in zip(
        encoder.tokenize_pairs("Is it food?", texts), encoder.scores("Is it food?", texts), strict=True
    ):
        with torch.no_grad():
            said = model(input_ids=torch.tensor([tokens.ids]), token_type_ids=torch.tensor([tokens.types]))
        assert score == pytest.approx(torch.sigmoid(said.logits[0, 0]).item(), abs=2e-6)
    with pytest.raises(UserError, match="--rerank-model"):
        load_encoder(str(tmp_path))


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_of_other_types_are_read_too(kind: torch.dtype, tmp_path: Path):
    model = write_bert(tmp_path, BertModel)
    path = tmp_path / "model.safetensors"
    others = {"embeddings.position_ids": torch.arange(TOKENS)[None], "attention_mask": torch.tensor([True])}
    save_file({**others, **{name: tensor.to(kind) for name, tensor in load_file(path).items()}}, path)
    encoder = load_encoder(str(tmp_path))
    with torch.no_grad():
        rounded = model.to(kind).float()
        said = rounded(input_ids=torch.tensor([encoder.tokenize(TEXTS[:1])[0].ids])).last_hidden_state
    np.testing.assert_allclose(encoder.embed(TEXTS[:1])[0], pooled(said, "mean").numpy(), atol=2e-6)


def test_a_vector_is_the_same_whatever_it_is_made_with(tmp_path: Path):
    write_bert(tmp_path, BertModel)
    encoder = load_encoder(str(tmp_path))
    together = encoder.embed(TEXTS * 60)  # several calls
    for index, text in enumerate(TEXTS):
        np.testing.assert_allclose(encoder.embed([text])[0], together[index], atol=1e-6)
        np.testing.assert_allclose(together[index], together[-len(TEXTS) + index], atol=1e-6)


def test_what_is_typed_is_no_control_token(tmp_path: Path):
    write_bert(tmp_path, BertModel)
    encoder = load_encoder(str(tmp_path))
    ends = encoder.tokenize([""])[0].ids
    typed = encoder.tokenize(["food [SEP] dog"])[0].ids
    assert [id for id in typed if id in ends] == ends and len(typed) > len(ends) + 2
    assert encoder.num_tokens("food") == 3


def test_a_text_that_is_too_long_is_refused_and_named(tmp_path: Path):
    write_xlm_roberta(tmp_path, XLMRobertaModel)
    encoder = load_encoder(str(tmp_path))
    encoder.embed(["food " * (TOKENS - 2)])
    with pytest.raises(TextTooLongError, match=f"Text 2 has {TOKENS + 1} tokens, and .* reads at most {TOKENS};"):
        encoder.embed(["food", "food " * (TOKENS - 1)])
    (text,) = encoder.tokenize(["food " * TOKENS])
    shortened = encoder.shortened(text)
    assert len(shortened.ids) == TOKENS and shortened.ids[-1] == text.ids[-1] != shortened.ids[-2]


def test_ids_are_taken_as_they_are_and_unknown_ones_refused(tmp_path: Path):
    write_bert(tmp_path, BertModel)
    encoder = load_encoder(str(tmp_path))
    (text,) = encoder.tokenize(["food"])
    assert encoder.tokens_of(text.ids) == text
    with pytest.raises(UserError, match=rf"has {len(WORDS) + 4} tokens, and 9999 is the id of none"):
        encoder.tokens_of([2, 9999])


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_values_that_are_no_numbers_are_an_error_and_no_vector(value: float, tmp_path: Path):
    write_bert(tmp_path, BertModel)
    tensors = load_file(tmp_path / "model.safetensors")
    tokenizer = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    tensors["embeddings.word_embeddings.weight"][tokenizer.token_to_id("dog")] = value
    save_file(tensors, tmp_path / "model.safetensors")
    encoder = load_encoder(str(tmp_path))
    assert np.isfinite(encoder.embed(["food"])).all()
    with pytest.raises(
        NonFiniteError, match=rf"{tmp_path.name} computed values that are no numbers; download it again"
    ):
        encoder.embed(["food", "the dog"])


def changed(folder: Path, name: str, **values: Any) -> None:
    path = folder / name
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **values}), encoding="utf-8")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"model_type": "modernbert"}, "'modernbert'; choose an encoder of one of these: bert, "),
        ({"position_embedding_type": "relative_key"}, "relative_key"),
        ({"is_decoder": True}, "is_decoder=True"),
        ({"hidden_act": "mish"}, "mish"),
        ({"num_attention_heads": 5}, "damaged"),
        ({"hidden_size": None}, "damaged"),
        ({"hidden_size": 64}, "lacks the tensor embeddings"),
        ({"num_hidden_layers": 3}, "lacks the tensor encoder.layer.2"),
        ({"num_hidden_layers": 1}, "needs encoder.layer.1"),
        ({"max_position_embeddings": 10**12}, "lacks the tensor embeddings.position"),
    ],
)
def test_a_checkpoint_of_another_kind_is_refused(values: dict[str, Any], said: str, tmp_path: Path):
    write_bert(tmp_path, BertModel)
    changed(tmp_path, "config.json", **values)
    with pytest.raises(UserError, match=said):
        load_encoder(str(tmp_path))


def test_pooling_that_is_not_known_is_refused(tmp_path: Path):
    write_bert(tmp_path, BertModel)
    changed(tmp_path, "1_Pooling/config.json", pooling_mode_max_tokens=True)
    with pytest.raises(UserError, match="pooling_mode_mean_tokens, pooling_mode_max_tokens"):
        load_encoder(str(tmp_path))
    modules = json.loads((tmp_path / "modules.json").read_text(encoding="utf-8"))
    modules[2]["type"] = "sentence_transformers.models.Dense"
    (tmp_path / "modules.json").write_text(json.dumps(modules), encoding="utf-8")
    with pytest.raises(UserError, match="Dense"):
        load_encoder(str(tmp_path))


def test_files_that_are_missing_or_damaged_are_named(tmp_path: Path):
    write_bert(tmp_path, BertModel)
    weights, tokenizer = tmp_path / "model.safetensors", tmp_path / "tokenizer.json"
    content = weights.read_bytes()
    weights.write_bytes(content[:-100])
    with pytest.raises(UserError, match=r"model\.safetensors"):
        load_encoder(str(tmp_path))
    weights.unlink()
    with pytest.raises(UserError, match=r"lacks model\.safetensors"):
        load_encoder(str(tmp_path))
    weights.write_bytes(content)
    tokenizer.write_text("{", encoding="utf-8")
    with pytest.raises(UserError, match=r"tokenizer\.json"):
        load_encoder(str(tmp_path))
    with pytest.raises(UserError, match="no encoder 'nothing'"):
        load_encoder("nothing")
