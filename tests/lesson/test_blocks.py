from llm_chatbot.engine.cache.block_pool import BlockTable
from llm_chatbot.engine.cache.paged_runner import BLOCK_SIZE
from llm_chatbot.engine.session import ChatSession
from llm_chatbot.engine.text.prompt import prompt_ids
from llm_chatbot.lesson.blocks import BlockUse, new_pool, read_prompt


def test_a_second_turn_reads_only_what_is_new():
    table = BlockTable(new_pool(8, 4))
    assert read_prompt(table, [1, 2, 3, 4, 5], 4) == [BlockUse(0, 0, 4), BlockUse(1, 0, 1)]
    assert read_prompt(table, [1, 2, 3, 4, 5, 6, 7, 8, 9], 4) == [
        BlockUse(0, 4, 0),
        BlockUse(1, 1, 3),
        BlockUse(2, 0, 1),
    ]


def test_the_last_token_of_a_prompt_is_always_read():
    table = BlockTable(new_pool(8, 4))
    read_prompt(table, [1, 2], 4)
    assert read_prompt(table, [1, 2], 4) == [BlockUse(0, 1, 1)]


def test_conversations_that_begin_alike_share_their_blocks():
    pool = new_pool(8, 4)
    read_prompt(BlockTable(pool), [1, 2, 3, 4, 5], 4)
    assert read_prompt(BlockTable(pool), [1, 2, 3, 4, 9], 4) == [BlockUse(0, 4, 0), BlockUse(2, 0, 1)]


def test_the_engine_takes_as_much_from_its_cache(exact_model, tokenizer):
    session = ChatSession(exact_model, tokenizer)
    *_, first = session.stream("What is the capital of France?", max_new_tokens=30)
    assert first.finish_reason == "stop"
    first_prompt = prompt_ids(tokenizer, session.messages[:1])
    *_, second = session.stream("And of Italy?", max_new_tokens=1)
    second_prompt = prompt_ids(tokenizer, session.messages[:3])
    table = BlockTable(new_pool(64, BLOCK_SIZE))
    read_prompt(table, first_prompt, BLOCK_SIZE)
    answer = tokenizer(first.text, add_special_tokens=False)["input_ids"]
    table.reserve(len(answer))
    table.append(answer)
    assert sum(use.cached for use in read_prompt(table, second_prompt, BLOCK_SIZE)) == second.cached_tokens > 0
