from string import Formatter

from page.texts import LANGUAGES, TEXTS, translate


def names(text: str) -> list[str]:
    """What is in braces."""
    return [name for _, name, _, _ in Formatter().parse(text) if name]


def test_every_language_says_everything():
    several = {text for text in TEXTS["en"] if not text.endswith("_one")}
    for language in LANGUAGES:
        assert {text for text in TEXTS[language] if not text.endswith("_one")} == several
        for text in several:
            values = dict.fromkeys(names(TEXTS["en"][text]), "1")
            assert sorted(names(TEXTS[language][text])) == sorted(values), text
            assert translate(language, text, **values)
    assert translate("fr", "send") == "Send"


def test_one_is_not_spoken_of_as_several():
    assert translate("en", "left_out", count=1) == "Context full: the oldest turn was left out."
    assert translate("en", "left_out", count=3) == "Context full: the 3 oldest turns were left out."
    assert translate("en", "tokens", count=1) == "1 token"
    assert "1" in translate("ja", "left_out", count=1)
