from llm_chatbot.engine.cache.paged_runner import BLOCK_SIZE
from llm_chatbot.engine.session import ChatSession
from llm_chatbot.engine.text.prompt import prompt_ids
from llm_chatbot.lesson.blocks import OTHER, BlockUse, block_frames

FIRST = ([1, 2, 3, 4, 5], [6])


def test_a_second_turn_reads_only_what_is_new():
    frames = block_frames([FIRST, ([1, 2, 3, 4, 5, 6, 7, 8, 9], [10, 11])], [1, 2], 4)
    assert list(frames) == [(turn, step) for turn in (1, 2) for step in ("found", "read", "written")] + [
        (OTHER, "read")
    ]
    assert frames[1, "found"] == {1: []}
    assert frames[1, "read"] == {1: [BlockUse(0, 0, 4), BlockUse(1, 0, 1)]}
    assert frames[1, "written"] == {1: [BlockUse(0, 0, 4), BlockUse(1, 0, 1, 1)]}
    assert frames[2, "found"][2] == [BlockUse(0, 4, 0), BlockUse(1, 2, 0)]
    assert frames[2, "read"][2] == [BlockUse(0, 4, 0), BlockUse(1, 2, 2), BlockUse(2, 0, 1)]
    assert frames[2, "written"][2] == [BlockUse(0, 4, 0), BlockUse(1, 2, 2), BlockUse(2, 0, 1, 2)]
    assert frames[2, "written"][1] == frames[1, "written"][1]


def test_the_last_token_of_a_prompt_is_always_read():
    assert block_frames([FIRST], [1, 2], 4)[OTHER, "read"][OTHER] == [BlockUse(2, 1, 1)]


def test_conversations_that_begin_alike_share_their_blocks():
    frames = block_frames([FIRST], [1, 2, 3, 4, 9], 4)
    assert frames[OTHER, "read"][OTHER] == [BlockUse(0, 4, 0), BlockUse(2, 0, 1)]


def test_the_engine_takes_as_much_from_its_cache(exact_model, tokenizer):
    session = ChatSession(exact_model, tokenizer)
    *_, first = session.stream("What is the capital of France?", max_new_tokens=30)
    assert first.finish_reason == "stop"
    prompts = [prompt_ids(tokenizer, session.messages[:1])]
    *_, second = session.stream("And of Italy?", max_new_tokens=1)
    prompts.append(prompt_ids(tokenizer, session.messages[:3]))
    answer = tokenizer(first.text, add_special_tokens=False)["input_ids"]
    frames = block_frames([(prompts[0], answer), (prompts[1], [])], prompts[0], BLOCK_SIZE)
    assert sum(use.cached for use in frames[2, "read"][2]) == second.cached_tokens > 0
