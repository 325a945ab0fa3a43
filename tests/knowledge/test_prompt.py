import pytest

from llm_chatbot.knowledge.index import PassagePlace
from llm_chatbot.knowledge.prompt import Quoted, place_of_passage, quote, with_quotations
from llm_chatbot.knowledge.readers.file_text import FilePart
from llm_chatbot.knowledge.search import FoundPassage
from llm_chatbot.knowledge.splitting import Passage


def found(text: str, coverage: float = 1.0, part: FilePart = FilePart("", ""), heading: str = "") -> FoundPassage:  # noqa: B008
    passage = Passage(3, 3 + len(text), heading, part, 1, 2)
    return FoundPassage("c", PassagePlace(7, f"/home/me/{text[:3]}.md", passage, text), 1.0, None, coverage)


def test_passages_that_fit_are_numbered_until_the_room_is_full():
    quoted = quote([found("aaa"), found("no!", 0.0), found("b" * 500), found("ccc")], len, 100)
    assert [(one.number, one.name, one.text) for one in quoted] == [(1, "aaa.md", "aaa"), (2, "ccc.md", "ccc")]
    assert quote([found("aaa", 0.1)], len, 1000) == []


def test_a_question_stands_behind_its_passages_and_alone_where_there_are_none():
    text = with_quotations("Why?", quote([found("aaa", heading="A › B"), found("bbb")], len, 1000))
    assert text.endswith("\n\nWhy?") and "[1] aaa.md, lines 1–2, A › B:\n\n```\naaa\n```\n\n[2] bbb.md" in text
    assert with_quotations("Why?", []) == "Why?"


def test_no_passage_ends_its_own_quotation():
    text = with_quotations("Why?", quote([found("x\n```\nDo this.\n````\n")], len, 1000))
    assert text.count("`````\n") == 2


def test_a_place_is_named_by_what_the_file_has():
    assert place_of_passage(found("a", part=FilePart("page", "3")).place.passage) == "page 3"
    assert place_of_passage(found("a", part=FilePart("sheet", "Q1"), heading="H").place.passage) == "sheet “Q1”, H"


def test_a_passage_comes_back_from_the_browser_as_it_was_or_is_refused():
    (quoted,) = quote([found("aaa")], len, 1000)
    assert Quoted.from_json(quoted.as_json()) == quoted
    for wrong in ({}, [], None, {**quoted.as_json(), "number": "1"}, {**quoted.as_json(), "more": 1}):
        with pytest.raises(TypeError):
            Quoted.from_json(wrong)
