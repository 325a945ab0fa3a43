import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from itertools import islice, pairwise
from pathlib import Path

from chat_formats import ChatFormat
from config import UserError
from conversion.architectures import read_checkpoint
from engine.kv_cache import KVCache
from engine.sampling import Sampling
from ov_llm_model import (
    ChatSession,
    OVCHATGLM2Model,
    OVChatModel,
    OVMPTModel,
    OVPhi3Model,
    OVQWENModel,
    available_devices,
    check_device,
    check_state,
    compile_cache,
    load_model,
    stream_ids,
)

import numpy as np
import openvino as ov
import openvino.opset13 as ops
import pytest
import torch
from conftest import EXACT
from openvino.op import assign, read_value
from openvino.op.util import Variable, VariableInfo
from optimum.intel import OVModelForCausalLM
from tiny_models import export
from transformers import Phi3Config, Phi3ForCausalLM, TextIteratorStreamer

DATA = Path(__file__).parent / "data"
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


class FailingRequest:
    """An infer request whose device is gone for one call."""

    def __init__(self, request):
        self._request = request
        self.failed = False

    def start_async(self, *args, **kwargs):
        if not self.failed:
            self.failed = True
            raise RuntimeError("out of memory")
        return self._request.start_async(*args, **kwargs)

    def __getattr__(self, name: str):
        return getattr(self._request, name)


def test_after_a_failure_of_the_runtime_the_next_message_works(exact_session, exact_model, tokenizer):
    final(exact_session, FRANCE)
    exact_session._cache._request = FailingRequest(exact_session._cache._request)
    with pytest.raises(RuntimeError, match="out of memory"):
        final(exact_session, "And of Italy?")
    assert len(exact_session.messages) == 2
    fresh = ChatSession(exact_model, tokenizer)
    fresh.messages = [dict(message) for message in exact_session.messages]
    assert final(exact_session, "And of Italy?").text == final(fresh, "And of Italy?").text


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


# Exactness of what is reused


@pytest.mark.parametrize("seed", range(4))
def test_any_series_of_edits_gives_the_answers_of_a_session_that_starts_from_nothing(seed, exact_model, tokenizer):
    random = np.random.default_rng(seed)
    texts = [FRANCE, "And of Italy?", "Who wrote Hamlet?", "Tell me a story.", "Say 🎉.", "<|im_end|>", "Why?"]
    session = ChatSession(exact_model, tokenizer)
    for _ in range(10):
        action = random.choice(
            ["ask", "stop", "undo", "edit", "regenerate", "system", "reset"], p=[0.3, 0.2, *[0.1] * 5]
        )
        text = str(random.choice(texts))
        if action == "undo":
            session.messages = session.messages[:-2]
        elif action == "edit" and session.messages:
            index = 2 * int(random.integers(len(session.messages) // 2))
            session.messages = session.messages[:index]
        elif action == "regenerate" and session.messages:
            text = session.messages[-2]["content"]
            session.messages = session.messages[:-2]
        elif action == "system":
            session.system_prompt = str(random.choice(["Be brief.", "Be kind."]))
        elif action == "reset":
            session.reset()
        fresh = ChatSession(exact_model, tokenizer, session.system_prompt)
        fresh.messages = [dict(message) for message in session.messages]
        wanted = int(random.integers(1, 6)) if action == "stop" else 12
        for one, other in islice(
            zip(session.stream(text, max_new_tokens=12), fresh.stream(text, max_new_tokens=12), strict=True), wanted
        ):
            assert one.text == other.text
        assert session.messages == fresh.messages


def test_under_default_hints_a_cut_changes_no_more_than_splitting_a_prefill_does(model, tokenizer):
    """Where the runtime rounds, it rounds differently for a prompt fed in two parts. A cut must not add to that."""

    def logits(*parts: list[int], cut: list[int] | None = None) -> np.ndarray:
        cache = model.new_cache()
        if cut:
            cache.feed([*parts[0], *cut])
            assert cache.keep_prefix(parts[0]) == len(parts[0])
            parts = parts[1:]
        for part in parts:
            result = cache.feed(part)
        return result.copy()

    random, splitting, cutting = np.random.default_rng(0), [], []
    for _ in range(8):
        ids = random.integers(100, 40_000, 120).tolist()
        whole = logits(ids)
        splitting.append(abs(logits(ids[:80], ids[80:]) - whole).max())
        cutting.append(abs(logits(ids[:80], ids[80:], cut=[5, 6, 7, 8]) - whole).max())
    assert max(splitting) > 0  # the runtime does round
    assert max(cutting) < 1.5 * max(splitting)


# The context


def test_the_context_length_is_the_models(model):
    assert model.context_length == 8192


def test_the_oldest_turns_are_left_out_where_the_context_is_full(exact_model, tokenizer, monkeypatch):
    monkeypatch.setattr(OVChatModel, "context_length", 128)
    session = ChatSession(exact_model, tokenizer)
    dropped = []
    for n in range(6):
        answer = final(session, f"This is message number {n}.", max_new_tokens=20)
        dropped.append(answer.dropped_turns)
        assert answer.prompt_tokens + answer.completion_tokens <= 128
    assert dropped[0] == 0 and dropped == sorted(dropped) and dropped[-1] > 0
    assert len(session.messages) == 12


def test_an_answer_never_goes_past_the_context(exact_model, tokenizer, monkeypatch):
    monkeypatch.setattr(OVChatModel, "context_length", 64)
    answer = final(ChatSession(exact_model, tokenizer), "Write a very long story about a dragon.", max_new_tokens=1000)
    assert (answer.prompt_tokens + answer.completion_tokens, answer.finish_reason) == (64, "length")


def test_a_message_that_is_too_long_is_refused_and_nothing_is_lost(session, monkeypatch):
    final(session, FRANCE)
    messages = [dict(message) for message in session.messages]
    with pytest.raises(UserError, match="too long"):
        final(session, "word " * 9000)
    assert session.messages == messages
    assert "Rome" in final(session, "And of Italy?").text


# Stopping


def test_closing_the_stream_feeds_no_further_token(session, monkeypatch):
    fed = []
    feed = KVCache.feed
    monkeypatch.setattr(KVCache, "feed", lambda cache, ids: (fed.append(len(ids)), feed(cache, ids))[1])
    stream = session.stream("Tell me a long story.")
    for _ in range(5):
        next(stream)
    stream.close()
    assert len(fed) == 5  # the prompt, and four tokens
    assert session.last_answer.finish_reason == "stopped"
    assert session.messages[-1]["content"] == session.last_answer.text


def test_reading_a_long_prompt_can_be_stopped_too(session):
    stream = session.stream("word " * 3000)
    assert next(stream).text == ""
    stream.close()
    assert session.messages == []
    assert "Paris" in final(session, FRANCE).text


def test_an_answer_and_its_continuation_are_one_longer_answer(model, tokenizer):
    question = "Tell me a story about a café in 東京."
    *_, whole = ChatSession(model, tokenizer).stream(question, max_new_tokens=60)
    session = ChatSession(model, tokenizer)
    for longest in (1, 7, 20, 32):
        text = question if longest == 1 else None
        *_, answer = session.stream(text, max_new_tokens=longest)
    assert answer.text == whole.text
    assert answer.completion_tokens == whole.completion_tokens == 60
    assert answer.prompt_tokens == whole.prompt_tokens
    assert [message["role"] for message in session.messages] == ["user", "assistant"]
    assert session.messages[-1]["content"] == whole.text


def test_an_answer_of_another_session_can_be_continued(model, tokenizer):
    session = ChatSession(model, tokenizer)
    session.messages = [
        {"role": "user", "content": FRANCE},
        {"role": "assistant", "content": "The capital of France is"},
    ]
    *_, answer = session.stream(None, max_new_tokens=8)
    assert answer.text.startswith("The capital of France is Paris")


def test_a_stop_string_ends_an_answer(exact_model, tokenizer):
    answer = final(ChatSession(exact_model, tokenizer, chat_format=ChatFormat(stop_strings=(" is Par",))), FRANCE)
    assert (answer.text, answer.finish_reason) == ("The capital of France", "stop")


# Many conversations


def test_twenty_sessions_at_once_each_get_the_answer_that_they_get_alone(exact_model, tokenizer, monkeypatch):
    monkeypatch.setattr(exact_model, "max_idle_caches", 3)
    questions = [f"What is {n} + {n}?" for n in range(20)]

    def converse(question: str) -> list[str]:
        session = ChatSession(exact_model, tokenizer)
        return [final(session, text, max_new_tokens=8).text for text in (question, "Why?")]

    alone = [converse(question) for question in questions]
    with ThreadPoolExecutor(max_workers=20) as pool:
        assert list(pool.map(converse, questions)) == alone


def test_the_session_that_was_silent_for_longest_gives_its_cache_back_and_rebuilds_it(
    exact_model, tokenizer, monkeypatch
):
    monkeypatch.setattr(exact_model, "max_idle_caches", 2)
    sessions = [ChatSession(exact_model, tokenizer) for _ in range(3)]
    for session in sessions:
        final(session, FRANCE)
    assert [bool(session._cache.ids) for session in sessions] == [False, True, True]
    answer = final(sessions[0], "And of Italy?")
    assert answer.cached_tokens == 0 and "Rome" in answer.text
    assert [bool(session._cache.ids) for session in sessions] == [True, False, True]


# The graph's additional input


def test_logits_are_computed_for_as_many_positions_as_are_asked_for(exact_model, int4_folder, tokenizer):
    ids = tokenizer("The history of Rome began", return_tensors="pt")["input_ids"]
    stock = OVModelForCausalLM.from_pretrained(int4_folder, ov_config=EXACT)(input_ids=ids).logits
    assert torch.equal(exact_model(input_ids=ids).logits, stock)
    torch.testing.assert_close(exact_model(input_ids=ids, logits_to_keep=1).logits, stock[:, -1:], atol=1e-3, rtol=0)


def test_a_model_that_was_saved_again_is_loaded_by_stock_optimum(exact_model, tmp_path, tokenizer):
    exact_model.save_pretrained(tmp_path)
    inputs = tokenizer(FRANCE, return_tensors="pt")
    saved = OVModelForCausalLM.from_pretrained(tmp_path, ov_config=EXACT)
    assert torch.equal(*(model.generate(**inputs, max_new_tokens=8, do_sample=False) for model in (saved, exact_model)))


def test_generate_takes_a_streamer(exact_model, tokenizer):
    streamer = TextIteratorStreamer(tokenizer, skip_prompt=True)
    inputs = tokenizer("One two three", return_tensors="pt")
    ids = exact_model.generate(**inputs, max_new_tokens=6, do_sample=False, streamer=streamer)
    assert "".join(streamer) == tokenizer.decode(ids[0, inputs["input_ids"].shape[1] :])


# The compile cache


@pytest.fixture
def own_folder(int4_folder: Path, tmp_path: Path) -> Path:
    return shutil.copytree(int4_folder, tmp_path / "model", ignore=shutil.ignore_patterns("model_cache"))


def cache_files(folder: Path) -> list[Path]:
    return [path for path in (folder / "model_cache").rglob("*") if path.is_file()]


def test_what_was_compiled_is_used_again(own_folder: Path):
    load_model(own_folder)
    [blob] = cache_files(own_folder)
    written = blob.stat().st_mtime_ns
    load_model(own_folder)
    assert [path.stat().st_mtime_ns for path in cache_files(own_folder)] == [written]


def test_a_changed_file_is_never_served_from_the_cache(own_folder: Path):
    ids = torch.tensor([[1, 2, 3]])
    before = load_model(own_folder)(input_ids=ids).logits
    [stale] = cache_files(own_folder)
    weights = bytearray((own_folder / "openvino_model.bin").read_bytes())
    weights[40_000_000:60_000_000] = bytes(20_000_000)  # layers in the middle; the file is as long as before
    (own_folder / "openvino_model.bin").write_bytes(weights)
    assert not torch.equal(load_model(own_folder)(input_ids=ids).logits, before)
    assert stale not in cache_files(own_folder)


def test_an_unusable_cache_file_is_replaced(own_folder: Path, tokenizer):
    load_model(own_folder)
    [blob] = cache_files(own_folder)
    for damaged in (b"", b"damaged", blob.read_bytes()[: blob.stat().st_size // 2]):
        blob.write_bytes(damaged)
        assert "Paris" in final(ChatSession(load_model(own_folder), tokenizer), FRANCE).text


def test_a_folder_that_cannot_be_written_is_loaded_without_a_cache(own_folder: Path):
    (own_folder / "model_cache").touch()  # a file where the cache's folder would be
    assert compile_cache(own_folder) == {}
    load_model(own_folder)


# Architectures with a class of their own


@pytest.fixture(scope="module")
def tiny_folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Converted models with random weights: of each original format one, and a Phi-3 with two ranges of positions."""
    root = tmp_path_factory.mktemp("tiny")
    models = {name: read_checkpoint(DATA / f"{name}-tiny") for name in ("chatglm3", "mpt", "qwen")}
    longrope = {
        "rope_type": "longrope",
        "rope_theta": 10_000.0,
        "short_factor": [1.0] * 4,
        "long_factor": [2.0] * 4,
        "original_max_position_embeddings": 64,
    }
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 4}
    phi3 = Phi3Config(
        **sizes, vocab_size=64, pad_token_id=0, original_max_position_embeddings=64, rope_parameters=longrope
    )
    return {name: export(model, root / name) for name, model in {**models, "phi3": Phi3ForCausalLM(phi3)}.items()}


@pytest.mark.parametrize(
    ("name", "model_class", "context_length"),
    [
        ("chatglm3", OVCHATGLM2Model, 8192),
        ("mpt", OVMPTModel, 2048),
        ("phi3", OVPhi3Model, 64),
        ("qwen", OVQWENModel, 6144),
    ],
)
def test_an_architecture_gets_its_class_and_context(name: str, model_class: type, context_length: int, tiny_folders):
    model = load_model(tiny_folders[name])
    assert type(model) is model_class
    assert model.context_length == context_length


@pytest.mark.parametrize("name", ["mpt", "phi3", "qwen"])
def test_a_model_that_would_go_wrong_beyond_its_context_refuses(name: str, tiny_folders):
    model = load_model(tiny_folders[name])
    cache, length = model.new_cache(), model.context_length
    cache.feed([1] * (length - 1))
    cache.feed([2])
    with pytest.raises(UserError, match=f"{length + 1} tokens are more than the {length} that this model reads"):
        cache.feed([3])
    with pytest.raises(UserError, match="shorten the text"):
        model.generate(torch.ones((1, length - 2), dtype=torch.int64), max_new_tokens=4, min_new_tokens=4)


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
    cache.keep_prefix(ids[:-1].tolist(), prompt_length=length)
    cache.feed(ids[:1024].tolist())
    assert list(islice(stream_ids(cache, ids[1024:].tolist(), Sampling(), set()), 40)) == expected


def test_qwens_cache_is_read_anew_where_a_longer_prompt_changes_the_scale(qwen):
    model, reference = qwen
    ids = reference["ids_2100"].tolist()
    cache = model.new_cache()
    cache.feed(ids[:2040])
    assert cache.keep_prefix(ids[:2045], prompt_length=2046) == 2040
    assert cache.keep_prefix(ids[:-1], prompt_length=2100) == 0
    np.testing.assert_allclose(cache.feed(ids), reference["logits_2100"][-1], atol=1e-4)
    assert cache.keep_prefix(ids[:2090], prompt_length=2091) == 2090
    assert cache.keep_prefix(ids[:2000], prompt_length=2001) == 0


@pytest.mark.parametrize("changes", [{}, {"model_type": "qwen", "auto_map": {"AutoConfig": "configuration_qwen.X"}}])
def test_a_qwen_whose_graph_is_not_known_to_scale_ends_at_its_sequence_length(changes: dict, tiny_folders, tmp_path):
    folder = shutil.copytree(tiny_folders["qwen"], tmp_path / "qwen", ignore=shutil.ignore_patterns("model_cache"))
    config = json.loads((folder / "config.json").read_text(encoding="utf-8")) | changes
    del config["scaled_context"]
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    model = load_model(folder)
    assert type(model) is OVQWENModel
    assert model.context_length == 2048


def test_rows_of_different_length_get_what_each_gets_alone(tiny_folders):
    model = load_model(tiny_folders["mpt"], ov_config=EXACT)
    options = {"max_new_tokens": 8, "min_new_tokens": 8, "do_sample": False, "pad_token_id": 0}
    ids = torch.tensor([[0, 0, 0, 5, 6, 7], [11, 12, 13, 14, 15, 16]])
    mask = torch.tensor([[0, 0, 0, 1, 1, 1], [1] * 6])
    together = model.generate(ids, attention_mask=mask, **options)[:, 6:]
    alone = [model.generate(row[None, chosen.bool()], **options)[0, -8:] for row, chosen in zip(ids, mask, strict=True)]
    assert torch.equal(together, torch.stack(alone))


def with_tokens_first(graph: ov.Model) -> ov.Model:
    """Keeps the state as [tokens, batch, groups, size], as Optimum Intel exported ChatGLM's original code."""
    there, back = ops.constant([2, 0, 1, 3]), ops.constant([1, 2, 0, 3])
    variables = graph.get_variables()
    for sink in graph.get_sinks():
        name = sink.get_attributes()["variable_id"]
        read = next(op for op in graph.get_ops() if op.get_attributes().get("variable_id") == name and op != sink)
        shape = read.get_output_partial_shape(0)
        info = VariableInfo()
        info.variable_id, info.data_type = f"{name}.first", read.get_element_type()
        info.data_shape = ov.PartialShape([shape[2], shape[0], shape[1], shape[3]])
        variable = Variable(info)
        graph.add_variables([variable])
        users = read.output(0).get_target_inputs()
        restored = ops.transpose(read_value(ops.transpose(read.input_value(0), there), variable), back)
        for user in users:
            user.replace_source_output(restored.output(0))
        graph.add_sinks([assign(ops.transpose(sink.input_value(0), there), variable)])
        graph.remove_sink(sink)
    for variable in variables:
        graph.remove_variable(variable)
    graph.validate_nodes_and_infer_types()
    return graph


def test_a_chatglm_that_an_older_optimum_exported_is_cut_back_along_its_tokens(tiny_folders, tmp_path: Path):
    folder = shutil.copytree(tiny_folders["chatglm3"], tmp_path / "old", ignore=shutil.ignore_patterns("model_cache"))
    graph = with_tokens_first(ov.Core().read_model(tiny_folders["chatglm3"] / "openvino_model.xml"))
    ov.save_model(graph, folder / "openvino_model.xml", compress_to_fp16=False)
    shutil.copyfile(DATA / "chatglm3-tiny/config.json", folder / "config.json")  # with its auto_map
    old, new = load_model(folder, ov_config=EXACT), load_model(tiny_folders["chatglm3"], ov_config=EXACT)
    assert type(old) is OVCHATGLM2Model
    assert old.context_length == 8192
    cut, fresh = old.new_cache(), new.new_cache()
    cut.feed([5, 6, 7, 8, 9])
    assert cut.keep_prefix([5, 6, 7, 1]) == 3
    np.testing.assert_allclose(cut.feed([1, 2]), fresh.feed([5, 6, 7, 1, 2]), atol=1e-4)


def test_a_folder_whose_config_is_damaged_is_refused(tiny_folders, tmp_path: Path):
    folder = shutil.copytree(tiny_folders["mpt"], tmp_path / "mpt")
    for text in ("{", "[]", "{}", json.dumps({"model_type": "mpt", "n_heads": "many"})):
        (folder / "config.json").write_text(text, encoding="utf-8")
        with pytest.raises(UserError, match=r"config\.json is damaged; .* convert again"):
            load_model(folder)


def test_a_graph_whose_memory_is_not_keys_and_values_is_refused(tmp_path: Path):
    info = VariableInfo()
    info.variable_id, info.data_type, info.data_shape = "conv", ov.Type.f32, ov.PartialShape([-1, 4, 3])
    variable, start = Variable(info), ops.parameter([-1, 4, 3], np.float32)
    read = read_value(start, variable)
    state_space = ov.Model([ops.result(read)], [assign(read, variable)], [start])
    with pytest.raises(UserError, match="state-space model"):
        check_state(state_space, tmp_path)
    with pytest.raises(UserError, match=r"without a KV cache .* convert the model again"):
        check_state(ov.Model([ops.result(start)], [start]), tmp_path)
