"""Conversations with pictures on small models, compared with Transformers' own forward."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForImageTextToText

from llm_chatbot.engine.cache.pace import MIN_CHUNK, Pace
from llm_chatbot.engine.cache.paged_runner import BLOCK_SIZE, Part
from llm_chatbot.engine.decode.generation import whole_pictures
from llm_chatbot.engine.files import FolderFiles
from llm_chatbot.engine.loading import open_model
from llm_chatbot.engine.model import ChatModel
from llm_chatbot.engine.precisions import EXACT
from llm_chatbot.engine.session import Answer, ChatSession
from llm_chatbot.engine.text.pictures import pictures_in
from llm_chatbot.engine.text.prompt import prompt_ids
from llm_chatbot.engine.text.tokenizer import ChatTokenizer
from llm_chatbot.engine.vision.own_shape import PixtralProcessor
from llm_chatbot.engine.vision.prepared import Processor
from llm_chatbot.engine.vision.reader import Picture, positions_of, rows_of
from llm_chatbot.errors import UserError
from tests.pictures import picture_file
from tests.small_image_checkpoints import WRITERS

CLOSE = 2e-5  # of logits below 1


@dataclass(frozen=True)
class Small:
    checkpoint: Path
    folder: Path
    model: ChatModel
    tokenizer: ChatTokenizer


@pytest.fixture(scope="module", params=WRITERS)
def small(request, image_folder: Callable[[str], tuple[Path, Path]]) -> Small:
    checkpoint, folder = image_folder(request.param)
    return Small(checkpoint, folder, open_model(folder, ov_config=EXACT), FolderFiles(folder).tokenizer)


def said(*parts: str | bytes) -> dict[str, Any]:
    """A message of the user with texts and pictures."""
    kinds = [("text", part) if isinstance(part, str) else ("image", part) for part in parts]
    return {"role": "user", "content": [{"type": kind, kind: part} for kind, part in kinds]}


def read(small: Small, messages: Sequence[dict[str, Any]]) -> tuple[list[int], list[Any]]:
    assert small.model.images is not None
    prepared = small.model.images.prepared(messages)
    return prompt_ids(small.tokenizer, prepared), pictures_in(prepared)


def our_logits(small: Small, messages: Sequence[dict[str, Any]]) -> np.ndarray:
    ids, pictures = read(small, messages)
    paged = small.model.paged
    assert paged is not None
    cache = paged.new_cache()
    cache.show(pictures)
    logits, start = [], 0
    while start < len(ids):
        count = whole_pictures(ids, start, BLOCK_SIZE)
        logits.append(cache.feed_all(ids[start : start + count]))
        start += count
    return np.concatenate(logits)


@cache
def original(checkpoint: Path) -> Any:
    model = AutoModelForImageTextToText.from_pretrained(checkpoint, dtype=torch.float32).eval()
    if model.config.model_type == "gemma4":
        round_scales(model.model.language_model)
    return model


def round_scales(language_model: Any) -> None:
    """Two factors of Gemma 4 are no weights; in the graph they have the weights' 16 bits."""
    language_model.per_layer_input_scale = float(np.float16(2**-0.5))
    for name in ("embed_tokens", "embed_tokens_per_layer"):
        if (embeddings := getattr(language_model, name, None)) is not None:
            embeddings.embed_scale.copy_(embeddings.embed_scale.half())


def inputs_for(processor: Processor, pictures: Sequence[Picture]) -> dict[str, np.ndarray]:
    """The inputs of the vision tower for all pictures at once; below and beside a smaller one are zeros."""
    each = [processor.inputs(picture._tiles) for picture in pictures]
    return {name: np.concatenate(padded([inputs[name] for inputs in each])) for name in each[0]}


def padded(arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Pictures [1, 3, height, width] of one size; others as they are."""
    if arrays[0].shape[1:2] != (3,):
        return list(arrays)
    height, width = (max(array.shape[axis] for array in arrays) for axis in (2, 3))
    return [
        np.pad(array, ((0, 0), (0, 0), (0, height - array.shape[2]), (0, width - array.shape[3]))) for array in arrays
    ]


def their_logits(small: Small, messages: Sequence[dict[str, Any]]) -> np.ndarray:
    ids, pictures = read(small, messages)
    model = original(small.checkpoint)
    assert small.model.images is not None
    token = small.tokenizer.backend_tokenizer.token_to_id(small.model.images.processor.row_token)
    tokens = torch.tensor([[token if id < 0 else id for id in ids]])
    images = {}
    if pictures:
        inputs = inputs_for(small.model.images.processor, pictures)
        if "hidden_states" in inputs:
            images["mm_token_type_ids"] = (tokens == token).int()
            images["image_grid_thw"] = torch.tensor([[1, 2 * p.grid[0], 2 * p.grid[1]] for p in pictures])
        if isinstance(small.model.images.processor, PixtralProcessor):
            images["image_sizes"] = torch.tensor([picture._tiles.shape[-2:] for picture in pictures])
        pixels = torch.from_numpy(inputs.get("pixel_values", inputs.get("hidden_states")))
        images["pixel_values"] = pixels[None] if "patch_position_ids" in inputs else pixels
        if "image_position_ids" in inputs:
            images["image_position_ids"] = torch.from_numpy(inputs["image_position_ids"])
    if model.config.model_type == "gemma4":
        images["mm_token_type_ids"] = (tokens == token).long()
    if model.config.model_type == "gemma3":  # each vector of a picture looks at all of them
        images["token_type_ids"] = (tokens == token).long()
    with torch.no_grad():
        return model(input_ids=tokens, attention_mask=torch.ones_like(tokens), **images).logits[0].numpy()


WIDE, HIGH = picture_file(140, 90), picture_file(60, 130, seed=1)

CONVERSATIONS: dict[str, list[dict[str, Any]]] = {
    "a picture first": [said(WIDE, "What is it?")],
    "a picture last": [said("What is it?", WIDE)],
    "two pictures": [said("Here:", WIDE, "and", HIGH, "Which one?")],
    "in an earlier turn": [
        said(WIDE, "What is it?"),
        {"role": "assistant", "content": "Paris"},
        said("And of Italy?"),
        {"role": "assistant", "content": "Rome"},
        said(HIGH, "this?"),
    ],
    "no picture": [{"role": "user", "content": "What is the capital of France?"}],
}


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_logits_are_those_of_transformers(small: Small, name: str):
    ours, theirs = our_logits(small, CONVERSATIONS[name]), their_logits(small, CONVERSATIONS[name])
    assert np.abs(ours - theirs).max() < CLOSE and np.abs(theirs).max() > 0.1


def test_another_picture_has_other_logits(small: Small):
    one, other = ([said(picture_file(140, 90, seed=seed), "What is it?")] for seed in (0, 5))
    assert np.abs(our_logits(small, one)[-1] - our_logits(small, other)[-1]).max() > 100 * CLOSE


def answered(small: Small, messages: Sequence[dict[str, Any]], **options: Any) -> Answer:
    *_, answer = ChatSession(small.model, small.tokenizer).answer(messages, max_new_tokens=6, **options)
    return answer


def test_the_same_picture_is_shared_and_another_one_is_not(small: Small):
    text = "This is the picture of a new conversation, and it says what comes next: "
    first = answered(small, [said(text, WIDE, "One?")])
    again = answered(small, [said(text, WIDE, "One?")])
    full = (again.prompt_tokens - 1) // BLOCK_SIZE * BLOCK_SIZE  # of others' conversations full blocks are shared
    assert first.cached_tokens < BLOCK_SIZE
    assert again.cached_tokens >= full
    assert again.text == first.text
    before = len(prompt_ids(small.tokenizer, [said(text)]))
    other = answered(small, [said(text, picture_file(140, 90, seed=9), "One?")])
    assert other.cached_tokens <= before


def test_an_edited_question_keeps_its_picture(small: Small):
    session = ChatSession(small.model, small.tokenizer)
    *_, _ = session.answer([said(HIGH, "What is the capital of France?")], max_new_tokens=4)
    *_, edited = session.answer([said(HIGH, "What is the capital of Italy?")], max_new_tokens=4)
    ids, _ = read(small, [said(HIGH, "What is")])
    assert edited.cached_tokens >= sum(id < 0 for id in ids)
    assert edited.text == answered(small, [said(HIGH, "What is the capital of Italy?")]).text[: len(edited.text)]


def test_two_conversations_with_pictures_share_a_call(small: Small):
    """One begins in the middle of its picture, where the other one's ends."""
    conversations = [[said(WIDE, "What is it?")], [said("What is it?", HIGH)]]
    paged = small.model.paged
    assert paged is not None
    parts, expected = [], []
    for messages, begins in zip(conversations, (False, True), strict=True):
        ids, pictures = read(small, messages)
        cache = paged.new_cache()
        cache.show(pictures)
        places = [place for place, id in enumerate(ids) if id < 0]
        start, end = (places[2], len(ids)) if begins else (0, places[-1] + 1)
        cache.feed(ids)  # so that what comes before is there
        rows, positions = rows_of(ids[start:end], cache.places), positions_of(ids[:end], cache.places)[:, start:]
        blocks = cache.table.indices[: -(-end // BLOCK_SIZE)]
        parts.append(Part(ids[start:end], start, blocks, end - start, (0, 0), rows, positions))
        expected.append(their_logits(small, messages)[start:end])
    with paged.in_use():
        with paged.lock:
            paged.lock.wait_for(lambda: not paged._led)  # while nobody answers, calls are timed
        found = paged.runner.run(parts, {})
    for logits, theirs in zip(found, expected, strict=True):
        assert np.abs(logits - theirs).max() < CLOSE


def test_chunks_of_a_long_prompt_cut_no_picture(small: Small, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Pace, "note", lambda *_: None)
    messages = [said("What is the capital of France? " * 5, WIDE, "What is the capital of Italy? " * 8, HIGH, "Hm?")]
    ids, pictures = read(small, messages)
    paged = small.model.paged
    assert paged is not None
    monkeypatch.setattr(paged.pace, "tokens", MIN_CHUNK)
    cache = paged.new_cache()
    cache.show(pictures)
    assert np.abs(cache.feed(ids) - their_logits(small, messages)[-1]).max() < CLOSE


def test_what_is_evicted_is_read_again(small: Small):
    ids, pictures = read(small, [said("Here:", WIDE, "Which one?")])
    paged = small.model.paged
    assert paged is not None
    cache = paged.new_cache()
    cache.show(pictures)
    cache.feed(ids[:-1])
    paged.pool.release_oldest(paged.new_table())
    expected = their_logits(small, [said("Here:", WIDE, "Which one?")])[-1]
    assert np.abs(cache.feed(ids[-1:]) - expected).max() < CLOSE


class CountedPlaces(dict[int, Any]):
    """Places of pictures that count how often one is looked for."""

    looks: int = 0

    def __getitem__(self, id: int) -> Any:
        self.looks += 1
        return super().__getitem__(id)


@pytest.mark.parametrize("small", ["qwen2_5_vl"], indirect=True)
def test_the_positions_of_an_answers_tokens_follow_without_those_before_them(small: Small):
    ids, pictures = read(small, [said(WIDE, "What is it?")])
    paged = small.model.paged
    assert paged is not None
    cache = paged.new_cache()
    cache.show(pictures)
    places = cache.places
    cache.feed(ids)
    cache.places = counted = CountedPlaces()
    counted.update(places)
    for id in (11, 12, 13):
        cache.feed([id])
    assert counted.looks == 0
    now = len(cache.ids)
    assert np.array_equal(cache.positions(now - 1, now), positions_of(cache.ids, places)[:, -1:])
    cache.truncate(now - 3)
    assert np.array_equal(cache.positions(now - 5, now - 3), positions_of(cache.ids, places)[:, -2:])
    assert counted.looks > 0


def test_typed_text_never_becomes_a_picture(small: Small):
    assert small.model.images is not None
    tokens = {small.model.images.processor.token, small.model.images.processor.row_token}
    control = {small.tokenizer.backend_tokenizer.token_to_id(token) for token in tokens}
    ids, _ = read(small, [said(WIDE, " ".join([*tokens, *tokens]))])
    plain, pictures = read(small, [said(WIDE)])
    assert [id for id in ids if id < 0] == pictures[0].ids
    assert sum(id in control for id in ids) == sum(id in control for id in plain)
    for role in ("user", "assistant"):
        typed = prompt_ids(
            small.tokenizer, [{"role": "user", "content": "a"}, {"role": role, "content": " ".join(tokens)}]
        )
        assert not control & set(typed)


def test_the_oldest_turn_is_left_out_with_its_picture(small: Small):
    turns = [said(WIDE, "One?"), {"role": "assistant", "content": "Two."}]
    answer = answered(small, [*turns * 150, said("What is the capital of France? " * 30, HIGH)])
    assert answer.dropped_turns and answer.prompt_tokens < 2048


def test_penalties_and_drafts_do_without_the_pictures_ids(small: Small):
    messages = [said("a b c d e f", WIDE, "a b c d e f")]
    plain = answered(small, messages)
    assert answered(small, messages, repetition_penalty=1.0).text == plain.text
    assert answered(small, messages, repetition_penalty=1.5, frequency_penalty=0.5).completion_tokens


def test_a_damaged_picture_is_a_sentence_before_anything_is_read(small: Small):
    with pytest.raises(UserError) as caught:
        answered(small, [said(WIDE[:500], "What is it?")])
    assert caught.value.key == "image.damaged"


def test_a_template_that_changes_what_stands_for_a_picture_is_a_sentence(small: Small):
    tokenizer = FolderFiles(small.folder).tokenizer
    written = "{{ message['content'] | replace('\ue004', '') }}"
    tokenizer.chat_template = f"{{% for message in messages %}}{written}{{% endfor %}}"
    with pytest.raises(UserError) as caught:
        next(ChatSession(small.model, tokenizer).answer([said(WIDE, "What is it?")]))
    assert caught.value.key == "prompt.no_pictures"


def test_a_model_without_a_pool_reads_no_pictures(small: Small):
    model = open_model(small.folder, ov_config=EXACT, paged=False)
    session = ChatSession(model, small.tokenizer)
    with pytest.raises(UserError) as caught:
        next(session.answer([said(WIDE, "What is it?")]))
    assert caught.value.key == "prompt.reads_no_pictures"
    *_, answer = session.answer([{"role": "user", "content": "Hello"}], max_new_tokens=6)
    assert answer.text == answered(small, [{"role": "user", "content": "Hello"}]).text


def test_pictures_are_kept_on_the_disk_with_what_was_read(small: Small, tmp_path: Path, monkeypatch):
    monkeypatch.setenv("LLM_CHATBOT_CACHE", str(tmp_path))
    messages = [said("Here is a picture, and a long question about it: ", WIDE, "What is the capital of France?")]
    for cached in (False, True):
        model = open_model(small.folder, ov_config=EXACT, cache_on_disk=True)
        *_, answer = ChatSession(model, small.tokenizer).answer(messages, max_new_tokens=4)
        assert (answer.cached_tokens >= BLOCK_SIZE) == cached
        for thread in [each for each in threading.enumerate() if each.name == "kept blocks"]:
            thread.join()
