from page.texts import LANGUAGES, TEXTS, translate


def test_every_language_says_everything():
    values = dict.fromkeys(
        ("used", "length", "count", "reason", "title", "tokens", "cached_tokens", "prompt_tokens"),
        1,
    )
    values |= {"tokens_per_second": 1.0, "time_to_first_token": 1.0}
    values |= dict.fromkeys(("disk", "memory", "size", "speed"), "1")
    several = {text for text in TEXTS["en"] if not text.endswith("_one")}
    for language in LANGUAGES:
        assert {text for text in TEXTS[language] if not text.endswith("_one")} == several
        for text in several:
            english = TEXTS["en"][text]
            assert translate(language, text, **values)
            assert sorted(part.split("}")[0] for part in TEXTS[language][text].split("{")[1:]) == sorted(
                part.split("}")[0] for part in english.split("{")[1:]
            )
    assert translate("fr", "send") == "Send"


def test_one_is_not_spoken_of_as_several():
    assert translate("en", "left_out", count=1) == "Context full: the oldest turn was left out."
    assert translate("en", "left_out", count=3) == "Context full: the 3 oldest turns were left out."
    assert translate("en", "tokens", count=1) == "1 token"
    assert "1" in translate("ja", "left_out", count=1)
