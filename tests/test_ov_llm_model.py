import shutil
from itertools import islice, pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import EXACT
from optimum.intel import OVModelForCausalLM

from config import UserError
from ov_llm_model import ChatSession, available_devices, check_device, load_model, stream_ids
from sampling import Sampling

FRANCE = "What is the capital of France?"


@pytest.fixture
def session(model, tokenizer) -> ChatSession:
    return ChatSession(model, tokenizer)


@pytest.fixture
def exact_session(exact_model, tokenizer) -> ChatSession:
    return ChatSession(exact_model, tokenizer)


def final(session: ChatSession, text: str, **generation):
    *_, answer = session.stream(text, **generation)
    return answer


# Loading


def test_a_loaded_model_is_optimum_intels(model):
    assert isinstance(model, OVModelForCausalLM)


def test_a_device_that_is_not_there_is_refused_with_those_that_are(int4_folder: Path):
    for device in ("TPU", "GPU.7", "AUTO:TPU", ""):
        with pytest.raises(UserError, match=r"choose one of: .*CPU.*AUTO"):
            load_model(int4_folder, device)


def test_devices_may_be_written_in_small_letters_and_combined():
    for device in [*available_devices(), "cpu", "auto", "AUTO:CPU", "HETERO:CPU"]:
        check_device(device)


def test_what_is_not_a_model_is_refused_with_the_remedy(tmp_path: Path):
    with pytest.raises(UserError, match=r"converter\.py"):
        load_model(tmp_path / "nowhere")
    with pytest.raises(UserError, match="convert the model again"):
        load_model(tmp_path)


def test_a_damaged_graph_is_a_sentence_and_not_a_traceback(int4_folder: Path, tmp_path: Path):
    damaged = tmp_path / "model"
    shutil.copytree(int4_folder, damaged)
    (damaged / "conversion.json").unlink()  # a folder that Optimum Intel wrote has none
    (damaged / "openvino_model.bin").write_bytes(b"short")
    with pytest.raises(UserError, match="convert again"):
        load_model(damaged)


# Transformers' generate


@pytest.mark.parametrize(
    "options",
    [
        {"do_sample": False},
        {"do_sample": False, "num_beams": 3},
        {"do_sample": True, "top_k": 5},
    ],
    ids=["greedy", "beam search", "sampling"],
)
def test_generate_gives_what_stock_optimum_gives(options: dict, exact_model, int4_folder: Path, tokenizer):
    stock = OVModelForCausalLM.from_pretrained(int4_folder, ov_config=EXACT)
    tokenizer.padding_side = "left"
    inputs = tokenizer([FRANCE, "Once upon a time"], return_tensors="pt", padding=True)
    results = []
    for model in (stock, exact_model):
        torch.manual_seed(0)
        results.append(model.generate(**inputs, max_new_tokens=12, **options))
    assert torch.equal(*results)


def test_generate_does_not_disturb_a_conversation(exact_session, exact_model, tokenizer):
    undisturbed = ChatSession(exact_model, tokenizer)
    for session in (undisturbed, exact_session):
        final(session, FRANCE)
    exact_model.generate(**tokenizer("Once upon a time", return_tensors="pt"), max_new_tokens=5)
    assert final(exact_session, "And of Italy?").text == final(undisturbed, "And of Italy?").text


# Token ids


def test_streamed_ids_are_those_of_greedy_generate(exact_model, tokenizer):
    inputs = tokenizer("The history of Rome began", return_tensors="pt")
    prompt = inputs["input_ids"][0].tolist()
    expected = exact_model.generate(**inputs, max_new_tokens=40, do_sample=False)[0, len(prompt) :].tolist()
    stream = stream_ids(exact_model.new_cache(), prompt, Sampling(), stop_ids=set())
    assert [next(stream) for _ in expected] == expected


def test_a_stop_token_ends_the_stream_and_is_not_given(exact_model, tokenizer):
    prompt = tokenizer("One two three", return_tensors="np")["input_ids"][0].tolist()
    first, second, third = islice(stream_ids(exact_model.new_cache(), prompt, Sampling(), set()), 3)
    assert third not in (first, second)
    assert list(stream_ids(exact_model.new_cache(), prompt, Sampling(), {third})) == [first, second]


# The KV cache


def test_a_cache_cut_back_goes_on_as_if_the_rest_had_never_been(exact_model, tokenizer):
    ids = tokenizer("The history of Rome began with a village on seven hills.")["input_ids"]
    other = tokenizer(" It was founded by twins.")["input_ids"]
    cut, fresh = exact_model.new_cache(), exact_model.new_cache()
    cut.feed(ids)
    assert cut.keep_prefix([*ids[:5], *other]) == 5
    assert cut.ids == ids[:5]
    np.testing.assert_allclose(cut.feed(other).copy(), fresh.feed([*ids[:5], *other]), atol=1e-3)


def test_a_cache_with_nothing_in_common_is_emptied(exact_model):
    cache, fresh = exact_model.new_cache(), exact_model.new_cache()
    cache.feed([100, 200])
    assert cache.keep_prefix([300]) == 0
    np.testing.assert_array_equal(cache.feed([300]).copy(), fresh.feed([300]))


def test_after_a_failure_of_the_runtime_a_cache_starts_anew(exact_model):
    cache, fresh = exact_model.new_cache(), exact_model.new_cache()
    cache.feed([100, 200])
    request, cache._request = cache._request, None
    with pytest.raises(AttributeError):
        cache.feed([300])
    cache._request = request
    assert cache.keep_prefix([100, 200, 300]) == 0
    np.testing.assert_array_equal(cache.feed([100, 200, 300]).copy(), fresh.feed([100, 200, 300]))


# Conversations


def test_an_answer_grows_token_by_token_and_says_why_it_ended(session):
    answers = list(session.stream(FRANCE))
    assert all(later.text.startswith(earlier.text) for earlier, later in pairwise(answers))
    assert [answer.completion_tokens for answer in answers[:-1]] == list(range(1, len(answers)))
    assert [answer.finish_reason for answer in answers] == [None] * (len(answers) - 1) + ["stop"]
    assert answers[-1].time_to_first_token > 0 and answers[-1].tokens_per_second > 0


def test_the_second_answer_uses_the_first_turn(session):
    assert "Paris" in final(session, FRANCE).text
    assert "Rome" in final(session, "And of Italy?").text
    assert [message["role"] for message in session.messages] == ["user", "assistant"] * 2


def test_the_second_turn_feeds_only_what_is_new(session):
    first = final(session, FRANCE)
    second = final(session, "And of Italy?")
    assert (first.cached_tokens, second.cached_tokens) == (0, first.prompt_tokens + first.completion_tokens)


def test_reset_forgets(session):
    final(session, FRANCE)
    session.reset()
    assert session.messages == []
    assert final(session, FRANCE).cached_tokens == 0


def test_max_new_tokens_ends_an_answer(session):
    answer = final(session, FRANCE, max_new_tokens=3)
    assert (answer.completion_tokens, answer.finish_reason) == (3, "length")


def test_closing_the_stream_keeps_the_partial_answer_and_the_next_message_works(exact_session, exact_model, tokenizer):
    stream = exact_session.stream("Tell me a long story.")
    partial = [next(stream) for _ in range(5)][-1]
    stream.close()
    assert exact_session.messages[-1] == {"role": "assistant", "content": partial.text}
    fresh = ChatSession(exact_model, tokenizer)
    fresh.messages = [dict(message) for message in exact_session.messages]
    assert final(exact_session, FRANCE).text == final(fresh, FRANCE).text


def test_messages_may_be_changed_between_two_answers(exact_session, exact_model, tokenizer):
    final(exact_session, "What is the capital of Spain?")
    exact_session.messages[0]["content"] = FRANCE
    exact_session.messages[1]["content"] = "The capital of France is Paris."
    fresh = ChatSession(exact_model, tokenizer)
    fresh.messages = [dict(message) for message in exact_session.messages]
    assert final(exact_session, "And of Italy?").text == final(fresh, "And of Italy?").text


def test_conversations_do_not_mix(exact_model, tokenizer):
    questions = [FRANCE, "Who wrote Hamlet?", "Name a colour."]
    alone = [final(ChatSession(exact_model, tokenizer), question, max_new_tokens=15).text for question in questions]
    sessions = [ChatSession(exact_model, tokenizer) for _ in questions]
    streams = [session.stream(text, max_new_tokens=15) for session, text in zip(sessions, questions, strict=True)]
    for _ in range(16):  # a token for each in turn, and the end
        for stream in streams:
            next(stream, None)
    assert [session.messages[-1]["content"] for session in sessions] == alone


def test_a_system_prompt_comes_first(session, tokenizer):
    session.system_prompt = "You only speak French."
    final(session, FRANCE, max_new_tokens=1)
    text = tokenizer.decode(session._cache.ids)
    assert text.startswith("<|im_start|>system\nYou only speak French.<|im_end|>\n<|im_start|>user\n")


def test_a_seed_repeats_an_answer_and_another_one_does_not(model, tokenizer):
    texts = [
        final(ChatSession(model, tokenizer), "Tell me about cats.", temperature=1.0, seed=seed, max_new_tokens=20).text
        for seed in (1, 1, 2)
    ]
    assert texts[0] == texts[1] != texts[2]


def test_characters_that_take_several_tokens_appear_whole(session, tokenizer):
    session.messages = [
        {"role": "user", "content": "Say 🎉🎈 日本語"},
        {"role": "assistant", "content": "🎉🎈 日本語"},
    ] * 3
    answers = list(session.stream("Say 🎉🎈 日本語", max_new_tokens=24))
    assert all("\ufffd" not in answer.text for answer in answers[:-1])
    assert "🎉" in answers[-1].text


def test_special_tokens_are_not_shown(session):
    assert "<|" not in final(session, FRANCE).text
