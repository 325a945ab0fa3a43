from pathlib import Path

import pytest
from transformers import BertForSequenceClassification

from llm_chatbot.encoder.encoder import CrossEncoder
from llm_chatbot.encoder.loading import load_cross_encoder
from llm_chatbot.errors import UserError
from llm_chatbot.knowledge.collection import Collection, make_collection
from llm_chatbot.knowledge.index import FileState, Index
from llm_chatbot.knowledge.readers.file_text import FileText
from llm_chatbot.knowledge.search import Searcher, coverage, fuse
from llm_chatbot.knowledge.splitting import split
from llm_chatbot.knowledge.terms import query_terms
from tests.encoder.small_encoders import write_bert

TEXTS = {
    "press.md": "# Cider press\n\nThe press is cleaned with warm water after each use, and oiled once a year.",
    "barrel.md": "# Barrels\n\nA barrel is filled to the top, so that no air stays in it.",
    "会議.md": "# 会議\n\n会議は毎週月曜日の午前十時に始まります。議事録は鈴木さんが書きます。",
    "合同.md": "# 合同\n\n合同的有效期为三年，期满后可以续签。",
}


@pytest.fixture(scope="module")
def reranker(tmp_path_factory: pytest.TempPathFactory) -> CrossEncoder:
    folder = tmp_path_factory.mktemp("encoders") / "reader"
    write_bert(folder, BertForSequenceClassification, num_labels=1)
    return load_cross_encoder(str(folder))


def no_encoder(name: str):
    raise AssertionError(name)


@pytest.fixture
def collection(tmp_path: Path) -> Collection:
    made = make_collection("Cider", root=tmp_path)
    for name, text in TEXTS.items():
        file_text = FileText(text, headings="markdown")
        made.index.put(Path(name), FileState(0, 0, name), file_text, split(file_text))
    return made


def fitting(collection: Collection, question: str) -> list[str]:
    found = Searcher(no_encoder).search([collection], question)
    return [one.place.path for one in found if one.fits]


@pytest.mark.parametrize(
    ("question", "path"),
    [
        ("How is the press cleaned?", "press.md"),
        ("How often do I oil it?", "press.md"),
        ("会議は何時に始まりますか", "会議.md"),
        ("議事録を書くのは誰ですか", "会議.md"),
        ("合同的有效期是多久？", "合同.md"),
        ("続", None),
        ("鈴", "会議.md"),
        ("续签", "合同.md"),
    ],
)
def test_words_find_the_passage_in_each_language(question: str, path: str | None, collection: Collection):
    assert fitting(collection, question)[:1] == ([path] if path else [])


@pytest.mark.parametrize(
    "question",
    ["Who won the football match on Sunday?", "今日の天気はどうですか", "明天的天气怎么样？", "", "?", "of the"],
)
def test_where_nothing_fits_nothing_is_found(question: str, collection: Collection):
    assert fitting(collection, question) == []


def test_ranks_are_fused_by_their_reciprocals():
    """The example can be computed by hand: 1/61 + 1/62 is more than 1/61, and a second place more than a third."""
    assert fuse([[1, 2, 3], [2, 1], []]) == {1: 1 / 61 + 1 / 62, 2: 1 / 62 + 1 / 61, 3: 1 / 63}
    assert sorted(fuse([[7, 8], [8, 9]]), key=lambda id: -fuse([[7, 8], [8, 9]])[id]) == [8, 7, 9]


def test_rare_words_weigh_more(collection: Collection):
    ids = [id for id, _ in collection.index.matches('"press"', 5)]
    rare = coverage(collection, query_terms("press barrel"), ids)[ids[0]]
    assert coverage(collection, query_terms("press zebra"), ids)[ids[0]] < rare == pytest.approx(0.5)
    assert coverage(collection, query_terms("press"), ids) == {ids[0]: 1.0} and coverage(collection, [], ids) == {}


def test_several_collections_are_searched_together(collection: Collection, tmp_path: Path):
    other = make_collection("Other", root=tmp_path)
    file_text = FileText("The press of the other kind is painted.")
    other.index.put(Path("other.txt"), FileState(0, 0, "x"), file_text, split(file_text))
    found = Searcher(no_encoder).search([collection, other], "press")
    assert {one.collection for one in found} == {collection.id, other.id}


def test_an_index_of_another_version_is_named(tmp_path: Path):
    index = Index(tmp_path / "index.sqlite")
    with index._connected() as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(UserError) as caught:
        Index(tmp_path / "index.sqlite")
    assert caught.value.key == "knowledge.other_version"


def test_a_reranker_orders_the_best_passages_by_its_scores(collection: Collection, reranker: CrossEncoder):
    question = "Is the press filled to the top, or a barrel of water?"
    found = Searcher(no_encoder, lambda: reranker).search([collection], question)
    scores = reranker.scores(question, [one.place.text for one in found])
    assert len(found) == 2 and [one.score for one in found] == pytest.approx(sorted(scores, reverse=True))
