from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from itertools import islice, pairwise

import numpy as np
import pytest
from tokenizers import Tokenizer, decoders, models
from transformers import PreTrainedTokenizerFast

from llm_chatbot.catalogue.chat_formats import ChatFormat
from llm_chatbot.engine.cache.pace import Pace
from llm_chatbot.engine.cache.paged_runner import BLOCK_SIZE
from llm_chatbot.engine.decode.dry import Dry
from llm_chatbot.engine.decode.generation import stream_ids
from llm_chatbot.engine.decode.sampling import Sampling, log_softmax
from llm_chatbot.engine.loading import open_model
from llm_chatbot.engine.model import ChatModel
from llm_chatbot.engine.precisions import EXACT
from llm_chatbot.engine.session import Answer, ChatSession
from llm_chatbot.engine.text.channels import CHANNEL_MARKS
from llm_chatbot.errors import UserError

# Each token of the answer leads by more than any processor rounds; after "What is …?" the first one does not.
FRANCE = "Name the capital of France."


@pytest.fixture
def session(model, tokenizer) -> ChatSession:
    return ChatSession(model, tokenizer)


@pytest.fixture
def exact_session(exact_model, tokenizer) -> ChatSession:
    return ChatSession(exact_model, tokenizer)


@pytest.fixture(scope="module")
def stateful_model(embedded_folder) -> ChatModel:
    """Without a pool: each conversation is an infer request."""
    return open_model(embedded_folder, ov_config=EXACT, paged=False)


@pytest.fixture
def stateful_session(stateful_model, tokenizer) -> ChatSession:
    return ChatSession(stateful_model, tokenizer)


def final(session: ChatSession, text: str, **generation):
    *_, answer = session.stream(text, **generation)
    return answer


def begun(answers: Iterable[Answer]) -> Iterator[Answer]:
    """Without those that say how much of the prompt has been read."""
    return (answer for answer in answers if answer.completion_tokens or answer.finish_reason)


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


def test_after_a_failure_of_the_runtime_the_next_message_works(stateful_session, stateful_model, tokenizer):
    final(stateful_session, FRANCE)
    stateful_session._cache._request = FailingRequest(stateful_session._cache._request)
    with pytest.raises(RuntimeError, match="out of memory"):
        final(stateful_session, "And of Italy?")
    assert len(stateful_session.messages) == 2
    fresh = ChatSession(stateful_model, tokenizer)
    fresh.messages = [dict(message) for message in stateful_session.messages]
    assert final(stateful_session, "And of Italy?").text == final(fresh, "And of Italy?").text


def test_an_answer_grows_token_by_token_and_says_why_it_ended(session):
    answers = list(begun(session.stream(FRANCE)))
    assert all(later.text.startswith(earlier.text) for earlier, later in pairwise(answers))
    assert [answer.completion_tokens for answer in answers[:-1]] == list(range(1, len(answers)))
    assert [answer.finish_reason for answer in answers] == [None] * (len(answers) - 1) + ["stop"]
    assert answers[-1].time_to_first_token > 0 and answers[-1].tokens_per_second > 0


def test_the_second_answer_uses_the_first_turn(session):
    assert "Paris" in final(session, FRANCE).text
    assert "Rome" in final(session, "And of Italy?").text
    assert [message["role"] for message in session.messages] == ["user", "assistant"] * 2


def test_the_second_turn_feeds_only_what_is_new(stateful_session):
    first = final(stateful_session, FRANCE)
    second = final(stateful_session, "And of Italy?")
    assert (first.cached_tokens, second.cached_tokens) == (0, first.prompt_tokens + first.completion_tokens)


def test_what_another_conversation_has_read_is_not_read_again(exact_model, tokenizer):
    first = final(ChatSession(exact_model, tokenizer), FRANCE)
    again = final(session := ChatSession(exact_model, tokenizer), FRANCE)
    assert (again.text, again.cached_tokens) == (first.text, first.prompt_tokens // BLOCK_SIZE * BLOCK_SIZE)
    second = final(session, "And of Italy?")
    assert second.cached_tokens == first.prompt_tokens + first.completion_tokens


def test_reset_forgets(stateful_session):
    final(stateful_session, FRANCE)
    stateful_session.reset()
    assert stateful_session.messages == []
    assert final(stateful_session, FRANCE).cached_tokens == 0


def test_max_new_tokens_ends_an_answer(session):
    answer = final(session, FRANCE, max_new_tokens=3)
    assert (answer.completion_tokens, answer.finish_reason) == (3, "length")


def test_closing_the_stream_keeps_the_partial_answer_and_the_next_message_works(exact_session, exact_model, tokenizer):
    stream = exact_session.stream("Tell me a long story.")
    partial = next(answer for answer in stream if answer.completion_tokens == 5)
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
    streams = [
        begun(session.stream(text, max_new_tokens=15)) for session, text in zip(sessions, questions, strict=True)
    ]
    for _ in range(16):  # a token for each in turn, and the end
        for stream in streams:
            next(stream, None)
    assert [session.messages[-1]["content"] for session in sessions] == alone


def test_a_system_prompt_comes_first(session, tokenizer):
    session.system_prompt = "You only speak French."
    final(session, FRANCE, max_new_tokens=1)
    text = tokenizer.decode(session._cache.ids)
    assert text.startswith("<|im_start|>system\nYou only speak French.<|im_end|>\n<|im_start|>user\n")


def test_a_seed_repeats_an_answer_and_another_one_does_not(exact_model, tokenizer):
    options = {"temperature": 1.0, "max_new_tokens": 20}
    texts = [
        final(ChatSession(exact_model, tokenizer), "Tell me about cats.", seed=seed, **options).text
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
        streams = [begun(it.stream(text, max_new_tokens=12)) for it in (session, fresh)]
        for one, other in islice(zip(*streams, strict=True), wanted):
            assert one.text == other.text
        assert session.messages == fresh.messages


def test_the_oldest_turns_are_left_out_where_the_context_is_full(exact_model, tokenizer, monkeypatch):
    monkeypatch.setattr(ChatModel, "context_length", 128)
    session = ChatSession(exact_model, tokenizer)
    dropped = []
    for n in range(6):
        answer = final(session, f"This is message number {n}.", max_new_tokens=20)
        dropped.append(answer.dropped_turns)
        assert answer.prompt_tokens + answer.completion_tokens <= 128
    assert dropped[0] == 0 and dropped == sorted(dropped) and dropped[-1] > 0
    assert len(session.messages) == 12


def test_an_answer_never_goes_past_the_context(exact_model, tokenizer, monkeypatch):
    monkeypatch.setattr(ChatModel, "context_length", 64)
    answer = final(ChatSession(exact_model, tokenizer), "Write a very long story about a dragon.", max_new_tokens=1000)
    assert (answer.prompt_tokens + answer.completion_tokens, answer.finish_reason) == (64, "length")


def test_a_message_that_is_too_long_is_refused_and_nothing_is_lost(session, monkeypatch):
    final(session, FRANCE)
    messages = [dict(message) for message in session.messages]
    with pytest.raises(UserError, match="too long"):
        final(session, "word " * 9000)
    assert session.messages == messages
    assert "Rome" in final(session, "And of Italy?").text


def test_closing_the_stream_feeds_no_further_token(session, monkeypatch):
    fed = []
    cache_class = type(session._cache)
    feed = cache_class.feed
    monkeypatch.setattr(cache_class, "feed", lambda cache, ids: (fed.append(len(ids)), feed(cache, ids))[1])
    stream = session.stream("Tell me a long story.")
    next(answer for answer in stream if answer.completion_tokens == 5)
    stream.close()
    assert len(fed) == 5  # the prompt, and four tokens
    assert session.last_answer.finish_reason == "cancelled"
    assert session.messages[-1]["content"] == session.last_answer.text


def test_reading_a_long_prompt_can_be_stopped_too(session):
    stream = session.stream("word " * 3000)
    assert next(stream).text == ""
    stream.close()
    assert session.messages == []
    assert "Paris" in final(session, FRANCE).text


def test_an_answer_and_its_continuation_are_one_longer_answer(exact_model, tokenizer):
    question = "Tell me a story about a café in 東京."
    *_, whole = ChatSession(exact_model, tokenizer).stream(question, max_new_tokens=60)
    session, messages = ChatSession(exact_model, tokenizer), [{"role": "user", "content": question}]
    for longest in (1, 7, 20, 32):
        *_, answer = session.answer(messages, max_new_tokens=longest)
        messages = [messages[0], {"role": "assistant", "content": answer.text}]
    assert answer.text == whole.text
    assert answer.completion_tokens == whole.completion_tokens == 60
    assert answer.prompt_tokens == whole.prompt_tokens
    assert session.messages == []


def test_an_answer_of_another_session_can_be_continued(model, tokenizer):
    messages = [{"role": "user", "content": FRANCE}, {"role": "assistant", "content": "The capital of France is"}]
    *_, answer = ChatSession(model, tokenizer).answer(messages, max_new_tokens=8)
    assert answer.text.startswith("The capital of France is Paris")


def test_a_stop_string_ends_an_answer(exact_model, tokenizer):
    answer = final(ChatSession(exact_model, tokenizer, chat_format=ChatFormat(stop_strings=(" is Par",))), FRANCE)
    assert (answer.text, answer.finish_reason) == ("The capital of France", "stop")


def test_twenty_sessions_at_once_each_get_the_answer_that_they_get_alone(exact_model, tokenizer):
    questions = [f"What is {n} + {n}?" for n in range(20)]

    def converse(question: str) -> list[str]:
        session = ChatSession(exact_model, tokenizer)
        return [final(session, text, max_new_tokens=8).text for text in (question, "Why?")]

    alone = [converse(question) for question in questions]
    with ThreadPoolExecutor(max_workers=20) as pool:
        assert list(pool.map(converse, questions)) == alone


def test_the_session_that_was_silent_for_longest_gives_its_cache_back_and_rebuilds_it(
    stateful_model, tokenizer, monkeypatch
):
    monkeypatch.setattr(stateful_model, "max_idle_caches", 2)
    sessions = [ChatSession(stateful_model, tokenizer) for _ in range(3)]
    for session in sessions:
        final(session, FRANCE)
    assert [bool(session._cache.ids) for session in sessions] == [False, True, True]
    answer = final(sessions[0], "And of Italy?")
    assert answer.cached_tokens == 0 and "Rome" in answer.text
    assert [bool(session._cache.ids) for session in sessions] == [True, False, True]


# On a model of ten lines: what a session does itself


class CountingModel:
    """After token n comes n + 1, after 9 the end, and after any other 0; the cache is the list of what was fed."""

    context_length: int | None = None
    images = None

    def __init__(self) -> None:
        self.stop_ids = {10}
        self.fed: list[list[int]] = []
        self.pace = Pace()

    def new_cache(self) -> "CountingCache":
        return CountingCache(self.fed)

    def in_use(self, cache: "CountingCache"):
        return nullcontext()


class CountingCache:
    def __init__(self, fed: list[list[int]]):
        self.ids: list[int] = []
        self.fed = fed

    def reset(self) -> None:
        self.ids = []

    def trim_to_prefix(self, ids: Sequence[int]) -> int:
        self.ids = [held for held, wanted in zip(self.ids, ids, strict=False) if held == wanted]
        return len(self.ids)

    def truncate(self, length: int) -> None:
        del self.ids[length:]

    def feed(self, ids: Sequence[int]) -> np.ndarray:
        return self.feed_all(ids)[-1]

    def feed_all(self, ids: Sequence[int]) -> np.ndarray:
        self.fed.append(list(ids))
        self.ids.extend(ids)
        return np.eye(16, dtype=np.float32)[[id + 1 if id < 10 else 0 for id in ids]]


@pytest.fixture(scope="module")
def digits() -> PreTrainedTokenizerFast:
    """A token for each digit and for what reasoning needs, and a template that writes one message after the other."""
    others = ["<end>", "<think>", "</think>", "\n"]
    vocabulary = [*map(str, range(10)), *others]
    backend = Tokenizer(models.BPE({token: id for id, token in enumerate(vocabulary)}, []))
    backend.add_tokens(others)
    backend.decoder = decoders.Fuse()
    template = "{% for m in messages %}{{ m.content }}{% endfor %}{% if enable_thinking %}<think>\n{% endif %}"
    return PreTrainedTokenizerFast(tokenizer_object=backend, chat_template=template)


def ask(session: ChatSession, text: str = "3", **options) -> Answer:
    *_, answer = session.answer([{"role": "user", "content": text}], **options)
    return answer


THINK = {"enable_thinking": True}


def test_a_session_counts_with_a_model_that_counts(digits):
    *_, answer = ChatSession(CountingModel(), digits).answer([{"role": "user", "content": "345"}])
    assert (answer.text, answer.prompt_tokens, answer.completion_tokens, answer.finish_reason) == ("6789", 3, 4, "stop")


def test_a_long_prompt_is_read_in_pieces_and_each_is_a_moment_to_stop(digits):
    model = CountingModel()
    model.pace.tokens = 2
    answers = list(ChatSession(model, digits).answer([{"role": "user", "content": "12345"}], max_new_tokens=1))
    assert model.fed == [[1, 2], [3, 4], [5]]
    assert [answer.text for answer in answers] == ["", "", "", "", "6", "6"]
    assert [answer.read_tokens for answer in answers] == [0, 2, 4, 5, 5, 5]


def test_answering_changes_neither_the_messages_nor_the_session(digits):
    messages = [{"role": "user", "content": "3"}, {"role": "assistant", "content": "45"}]
    session, before = ChatSession(CountingModel(), digits), [dict(message) for message in messages]
    *_, answer = session.answer(messages, max_new_tokens=2)
    assert (answer.text, answer.completion_tokens, answer.finish_reason) == ("4567", 4, "length")
    assert (messages, session.messages) == (before, [])


def test_without_a_limit_nothing_is_left_out(digits):
    messages = [{"role": role, "content": "1" * 900} for role in ("user", "assistant") * 3] + [
        {"role": "user", "content": "8"}
    ]
    model = CountingModel()
    *_, answer = ChatSession(model, digits).answer(messages)
    assert (answer.dropped_turns, answer.prompt_tokens) == (0, 5401)
    model.context_length = 2000
    *_, answer = ChatSession(model, digits).answer(messages)
    assert (answer.dropped_turns, answer.prompt_tokens) == (3, 1)


def test_a_callers_stop_string_ends_an_answer(digits):
    session = ChatSession(CountingModel(), digits)
    assert [ask(session, stop=stop).text for stop in ((), ("67",), ("0", "8"))] == ["456789", "45", "4567"]
    answer = ask(session, stop=("67",))
    assert (answer.finish_reason, answer.completion_tokens) == ("stop", 4)


def test_log_probabilities_come_with_each_token_if_asked_for(digits):
    session = ChatSession(CountingModel(), digits)
    assert not ask(session).tokens
    answers = list(begun(session.answer([{"role": "user", "content": "7"}], top_logprobs=2)))
    tokens = answers[-1].tokens
    assert all(answer.tokens is tokens for answer in answers)
    assert [(token.id, token.text) for token in tokens] == [(8, "8"), (9, "9")]
    chance = np.log(np.e / (np.e + 15))
    assert tokens[0].logprob == pytest.approx(chance) and tokens[0].top[0] == (8, "8", tokens[0].logprob, b"8")
    assert [len(token.top) for token in tokens] == [2, 2]


@pytest.mark.parametrize(
    ("budget", "reasoning"), [(None, "0123456789"), (9, "012345678\n</think>\n\n0123456789"), (0, "\n</think>\n\n012")]
)
def test_reasoning_ends_where_its_budget_does(digits, budget: int | None, reasoning: str):
    answer = ask(ChatSession(CountingModel(), digits), template_options=THINK, thinking_budget=budget)
    assert answer.text.startswith("<think>\n" + reasoning) and answer.finish_reason == "stop"


def test_an_answer_says_how_many_tokens_were_reasoning_and_what_stopped_it(digits):
    options = {"template_options": THINK, "thinking_budget": 5}
    answer = ask(ChatSession(CountingModel(), digits), stop=["x", "12"], **options)
    assert (answer.text, answer.stopped_by) == ("<think>\n0", "12")
    answer = ask(ChatSession(CountingModel(), digits), **options)
    assert answer.text.startswith("<think>\n01234\n</think>\n\n0")
    assert answer.reasoning_tokens == len("01234\n"), "</think> is the token that ends it"
    plain = ask(ChatSession(CountingModel(), digits))
    assert (plain.reasoning_tokens, plain.stopped_by) == (0, "")


def test_an_answer_without_reasoning_has_no_use_for_a_budget(digits):
    assert ask(ChatSession(CountingModel(), digits), thinking_budget=0).text == "456789"


def test_what_was_thought_before_counts_when_an_answer_is_continued(digits):
    session, question = ChatSession(CountingModel(), digits), {"role": "user", "content": "3"}
    thought = ask(session, template_options=THINK, thinking_budget=5, max_new_tokens=3)
    messages = [question, {"role": "assistant", "content": thought.text}]
    for again in (session, ChatSession(CountingModel(), digits)):
        *_, answer = again.answer(messages, template_options=THINK, thinking_budget=5)
        assert answer.text == "<think>\n01234\n</think>\n\n0123456789"
        assert answer.completion_tokens == 5 + 4 + 10


def test_an_answer_with_reasoning_can_be_continued_without_the_switch(digits):
    session, question = ChatSession(CountingModel(), digits), {"role": "user", "content": "3"}
    thought = ask(session, template_options=THINK, max_new_tokens=3).text
    *_, answer = session.answer([question, {"role": "assistant", "content": thought}], max_new_tokens=2)
    assert (thought, answer.text, answer.completion_tokens) == ("<think>\n012", "<think>\n01234", 7)


class OnlyOdd:
    def mask(self, logits: np.ndarray) -> None:
        logits[0:10:2] = -np.inf

    def accept(self, token: int) -> None:
        assert token % 2 or token == 10


def test_a_constraint_holds_for_the_answer_and_not_for_its_reasoning(digits):
    session = ChatSession(CountingModel(), digits)
    assert ask(session, constraint=OnlyOdd(), max_new_tokens=3).text.strip("13579") == ""
    answer = ask(session, constraint=OnlyOdd(), template_options=THINK, thinking_budget=3, max_new_tokens=9)
    assert answer.text.startswith("<think>\n012\n</think>\n\n")
    assert answer.text[-2:].strip("13579") == ""


class OnlyDigits:
    def mask(self, logits: np.ndarray) -> None:
        logits[10:] = -np.inf

    def accept(self, token: int) -> None:
        assert token < 10


def test_a_constraint_begins_after_all_that_a_budget_writes(digits):
    session = ChatSession(CountingModel(), digits)
    options = {"constraint": OnlyDigits(), "template_options": THINK, "thinking_budget": 3}
    assert ask(session, max_new_tokens=9, **options).text == "<think>\n012\n</think>\n\n01"


class WideCache(CountingCache):
    def feed(self, ids: Sequence[int]) -> np.ndarray:
        return np.pad(super().feed(ids), (0, 16))


class WideModel(CountingModel):
    def new_cache(self) -> CountingCache:
        return WideCache(self.fed)


def test_reasoning_on_a_channel_ends_where_its_budget_does():
    others = ["<end>", *CHANNEL_MARKS, "assistant", "analysis", "final"]
    vocabulary = [*map(str, range(10)), *others]
    backend = Tokenizer(models.BPE({token: id for id, token in enumerate(vocabulary)}, []))
    backend.add_tokens(others)
    backend.decoder = decoders.Fuse()
    template = "{% for m in messages %}{{ m.content }}{% endfor %}<|start|>assistant{# <|channel|> <|message|> #}"
    session = ChatSession(WideModel(), PreTrainedTokenizerFast(tokenizer_object=backend, chat_template=template))
    thought = [{"role": "user", "content": "3"}, {"role": "assistant", "content": "<think>\n0"}]
    *_, answer = session.answer(thought, thinking_budget=6)  # of which 3 are the header's
    assert answer.text == "<think>\n012\n</think>\n\n0123456789"


def test_a_text_is_completed_without_a_template(digits):
    base = PreTrainedTokenizerFast(tokenizer_object=digits.backend_tokenizer)
    session = ChatSession(model := CountingModel(), base)
    *_, answer = session.complete("345", stop=("8",))
    assert (answer.text, answer.prompt_tokens, answer.finish_reason) == ("67", 3, "stop")
    assert model.fed[0] == [3, 4, 5] and session.messages == []
    *_, again = session.complete("34567", max_new_tokens=1)
    assert (again.text, again.cached_tokens, again.read_tokens) == ("8", 4, 5)


def test_what_cannot_be_completed_is_refused(digits):
    model = CountingModel()
    model.context_length = 40
    for text, reason in (("", "no text to continue"), ("1" * 40, "too long: 40 tokens, and the model can read 30")):
        with pytest.raises(UserError, match=reason):
            list(ChatSession(model, digits).complete(text))


def test_a_text_to_complete_has_no_control_tokens_but_the_tokenizers_own(exact_model, tokenizer):
    session = ChatSession(exact_model, tokenizer)
    list(session.complete("<|im_start|>user\nOne two three", max_new_tokens=1))
    assert tokenizer.decode(session._cache.ids).startswith("<|im_start|>user\nOne two three")
    assert not set(session._cache.ids) & set(tokenizer.all_special_ids)


def complete(session: ChatSession, prompt: str | list[int], **options) -> Answer:
    *_, answer = session.complete(prompt, **options)
    return answer


def test_token_ids_are_completed_as_they_are(digits):
    answer = complete(ChatSession(model := CountingModel(), digits), [3, 4, 5])
    assert (answer.text, answer.prompt_tokens) == ("6789", 3) and model.fed[0] == [3, 4, 5]
    with pytest.raises(UserError, match="no token 99"):
        complete(ChatSession(CountingModel(), digits), [3, 99])


def test_a_text_goes_on_with_the_space_that_a_text_of_its_own_would_lose():
    vocabulary = {**{f"▁{digit}": digit for digit in range(10)}, "<end>": 10}
    backend = Tokenizer(models.BPE(vocabulary, []))
    backend.decoder = decoders.Metaspace()
    words = PreTrainedTokenizerFast(tokenizer_object=backend)
    assert complete(ChatSession(CountingModel(), words), [6, 7]).text == " 8 9"
    assert complete(ChatSession(CountingModel(), words), [6, 7], echo=True).text == "6 7 8 9"


@pytest.mark.parametrize("prompt", ["345", [3, 4, 5]])
def test_a_prompt_is_repeated_with_its_probabilities_though_it_is_in_the_cache(digits, prompt: str | list[int]):
    session = ChatSession(CountingModel(), digits)
    plain = complete(session, prompt)
    answer = complete(session, prompt, echo=True, top_logprobs=1, max_new_tokens=2)
    assert (answer.text, answer.finish_reason, answer.cached_tokens) == ("34567", "length", 0)
    chance = np.log(np.e / (np.e + 15))
    assert [token.text for token in answer.tokens] == list("34567")
    assert np.isnan(answer.tokens[0].logprob) and not answer.tokens[0].top
    assert [token.logprob for token in answer.tokens[1:]] == pytest.approx([chance] * 4)
    assert complete(session, prompt).text == plain.text == "6789"


def test_a_prompt_can_be_read_without_an_answer(digits):
    answer = complete(ChatSession(CountingModel(), digits), "35", echo=True, top_logprobs=1, max_new_tokens=0)
    assert (answer.text, answer.completion_tokens, answer.finish_reason) == ("35", 0, "length")
    low = np.log(1 / (np.e + 15))
    assert answer.tokens[1].logprob == pytest.approx(low) and answer.tokens[1].top[0][1] == "4"
    assert complete(ChatSession(CountingModel(), digits), "35", max_new_tokens=0).text == ""


def test_a_limit_beyond_the_context_is_lowered(digits):
    model = CountingModel()
    model.context_length = 8
    answer = complete(ChatSession(model, digits), "12345", max_new_tokens=32_000, room=1)
    assert (answer.text, answer.finish_reason) == ("678", "length")


def test_a_model_that_must_not_end_its_answer_goes_on(digits):
    answer = ask(ChatSession(CountingModel(), digits), "8", ignore_eos=True, max_new_tokens=4)
    assert (answer.text, answer.finish_reason) == ("9012", "length")


def test_further_tokens_end_an_answer(digits):
    answer = complete(ChatSession(CountingModel(), digits), "3", end_ids=frozenset({7}), max_new_tokens=9)
    assert (answer.text, answer.finish_reason) == ("456", "stop")


def test_a_bias_changes_the_answer_and_names_a_token(digits):
    assert ask(ChatSession(CountingModel(), digits), logit_bias={9: 5.0}, max_new_tokens=2).text == "99"
    with pytest.raises(UserError, match="no token 99"):
        ask(ChatSession(CountingModel(), digits), logit_bias={99: 5.0})


def test_a_repetition_is_penalised_over_the_prompt(digits):
    answer = ask(ChatSession(CountingModel(), digits), "3453", dry=Dry(5.0, allowed_length=1), max_new_tokens=1)
    assert answer.text == "0"


def test_the_probabilities_of_a_prompt_are_those_of_reading_it_token_by_token(exact_model, tokenizer):
    ids = tokenizer("The capital of France is Paris, and that of Italy is Rome. " * 3)["input_ids"]
    answer = complete(ChatSession(exact_model, tokenizer), ids, echo=True, top_logprobs=1, max_new_tokens=0)
    assert len(ids) > 32 and [token.id for token in answer.tokens] == ids
    cache = exact_model.new_cache()
    for token, before in zip(answer.tokens[1:], ids, strict=False):
        assert token.logprob == pytest.approx(float(log_softmax(cache.feed([before]))[token.id]), abs=1e-3)
