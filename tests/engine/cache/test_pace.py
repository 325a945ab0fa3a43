from llm_chatbot.engine.cache.pace import MAX_CHUNK, Pace


def test_a_chunk_of_a_prompt_takes_at_most_as_long_as_it_should():
    pace = Pace()
    assert pace.tokens == 32
    for tokens, seconds, expected_tokens in (
        (32, 0.016, 256),  # 2,000 tokens per second
        (256, 0.101, 256),
        (256, 0.256, 128),
        (31, 9.0, 128),  # too few to say something
        (256, 0.0001, MAX_CHUNK),
        (256, 100.0, 32),
    ):
        pace.note(tokens, seconds)
        assert pace.tokens == expected_tokens
