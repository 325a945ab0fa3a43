import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from llm_chatbot.engine.decode.dry import Dry, DryPenalty, token_breakers
from llm_chatbot.engine.text.tokenizer import PlainTokenizer

NO_BREAKERS: dict[int, list[tuple[int, ...]]] = {}


def slow_lengths(ids: list[int], dry: Dry) -> dict[int, int]:
    """For each token, the longest text before an earlier occurrence of it that the text ends with."""
    ids = ids[-dry.last_n :] if dry.last_n > 0 else ids
    found: dict[int, int] = {}
    for place in range(1, len(ids)):
        length = 0
        while length < place and ids[place - 1 - length] == ids[-1 - length]:
            length += 1
        if length >= dry.allowed_length:
            found[ids[place]] = max(found.get(ids[place], 0), length)
    return found


@pytest.mark.parametrize("seed", range(60))
def test_the_lengths_of_repetitions_are_those_of_a_plain_search(seed: int):
    random = np.random.default_rng(seed)
    ids = random.integers(0, random.choice([1, 2, 4]), size=random.integers(0, 60)).tolist()
    dry = Dry(1.0, allowed_length=int(random.integers(0, 4)), last_n=int(random.choice([-1, 7, 30])))
    found = DryPenalty(dry, ids, NO_BREAKERS).lengths()
    window = ids[-dry.last_n :] if dry.last_n > 0 else ids
    assert found == (slow_lengths(ids, dry) if len(window) > dry.allowed_length else {})


def penalised(dry: Dry, ids: list[int], breakers=NO_BREAKERS, size: int = 8) -> list[float]:
    logits = np.zeros(size, dtype=np.float32)
    penalty = DryPenalty(dry, ids[:1], breakers)
    for token in ids[1:]:
        penalty.accept(token)
    penalty.mask(logits)
    return logits.tolist()


def test_the_penalty_grows_with_the_length_of_what_is_repeated():
    assert penalised(Dry(0.5, 2.0), [1, 2, 3, 4, 1, 2, 3]) == [0, 0, 0, 0, -1.0, 0, 0, 0]  # 3 tokens: 0.5 * 2**1
    assert penalised(Dry(0.5, 2.0), [1, 2, 3, 4, 2, 3]) == [0, 0, 0, 0, -0.5, 0, 0, 0]
    assert penalised(Dry(0.5, 2.0), [1, 2, 3, 4, 3]) == [0] * 8  # what is short enough is free
    assert penalised(Dry(0.5, 2.0, last_n=0), [1, 2, 3, 4, 1, 2, 3]) == [0] * 8
    assert penalised(Dry(0.5, 2.0, last_n=6), [1, 2, 3, 4, 1, 2, 3]) == [0, 0, 0, 0, -0.5, 0, 0, 0]


def test_a_breaker_ends_a_repetition_and_is_not_penalised():
    text = [1, 2, 3, 4, 1, 2, 3]
    assert penalised(Dry(0.5, 2.0), text, {2: [()]}) == [0] * 8
    assert penalised(Dry(0.5, 2.0), text, {1: [()]}) == [0, 0, 0, 0, -0.5, 0, 0, 0]
    assert penalised(Dry(0.5, 2.0), text, {4: [()]}) == [0] * 8
    assert penalised(Dry(0.5, 2.0), text, {1: [(2,)]}) == [0] * 8  # the breaker is two tokens long
    assert penalised(Dry(0.5, 2.0), text, {1: [(5,)]}) == [0, 0, 0, 0, -1.0, 0, 0, 0]


def test_a_very_long_repetition_has_a_finite_penalty_and_stays_fast():
    (penalty,) = {value for value in penalised(Dry(1.0), [1] * 4000) if value}
    assert np.isfinite(penalty) and penalty < -1e30


@pytest.mark.parametrize("bad", [{"multiplier": -1}, {"base": 0.9}, {"allowed_length": -1}, {"last_n": -2}])
def test_settings_without_a_meaning_are_refused(bad: dict):
    with pytest.raises(ValueError, match="multiplier"):
        Dry(**{"multiplier": 1.0, **bad})


def test_breakers_are_found_in_tokens_and_across_them():
    vocabulary = ["a", "b", ":", "a:", "b\n", "\n", "x"]
    backend = Tokenizer(models.WordLevel({text: id for id, text in enumerate(vocabulary)}))
    backend.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    breakers = token_breakers(PlainTokenizer(backend, None, {}), (":", "\n", "bx"))
    assert breakers == {1: [(6,)], 2: [()], 3: [()], 4: [()], 5: [()]}
