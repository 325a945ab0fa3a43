"""Everything that people read, in each language: the page's texts, the lesson's words and the sentences of errors.

`locale` has a gettext file for each language. A message's id is a key that the code names; its text may have values in
braces, as in "{path} is damaged; download it again.", and gettext's plural forms if it depends on `count`. Keys with
"lesson." in front are words of the tutorial, those with "about_model." describe a model of the catalogue, others
with a dot are errors, and those without are the page's own.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from string import Formatter
from typing import Any, Self

# In the order of the page's switch, each by its own name.
LANGUAGES = {"en": "English", "ja": "日本語", "zh": "中文"}

LOCALE = Path(__file__).resolve().parent / "locale"

# How the keys begin of what the page doesn't say: the tutorial's words, what the models are good for, which comes with
# each model, and errors of other programs and of arguments.
ELSEWHERE = ("lesson.", "about_model.", "cluster.", "command.", "launch.")

CATEGORIES = ("zero", "one", "two", "few", "many", "other")  # of plurals, in gettext's order


@cache
def texts(language: str) -> Mapping[str, Mapping[str, str]]:
    """The texts of a language by key, each by its plural categories: only "other", where it has no plural."""
    from babel import Locale  # here, because most programs never say a thing from these files
    from babel.messages.pofile import read_po

    plurals = [category for category in CATEGORIES if category in {"other", *Locale(language).plural_form.tags}]
    with (LOCALE / f"{language}.po").open("rb") as file:
        messages = [message for message in read_po(file, language) if message.id]
    found = {}
    for message in messages:
        if isinstance(message.id, str):
            found[message.id] = {"other": str(message.string)}
        else:
            found[message.id[0]] = dict(zip(plurals, message.string or (), strict=True))
    return found


def page_texts(language: str) -> dict[str, Mapping[str, str]]:
    """The page's texts in a language, as `texts`: all but those that no page shows."""
    return {key: forms for key, forms in texts(language).items() if not key.startswith(ELSEWHERE)}


def model_description(name: str, description: str) -> dict[str, str]:
    """The sentence on what a model is good for, by language; in English alone where it isn't the catalogue's.

    Args:
        name: of its row in the catalogue.
        description: in English; another one than the row's is that of a file or folder with the same name.
    """
    key = f"about_model.{name}"
    if texts("en").get(key, {}).get("other") != description:
        return {"en": description}
    return {language: texts(language)[key]["other"] for language in LANGUAGES}


def translate(language: str, key: str, /, **values: Any) -> str:
    """A text with its values filled in. A value that is a `Text` is said in the same language.

    Raises:
        KeyError: there is no such key or language.
        TypeError: these are not the text's values.
    """
    from babel import Locale

    forms = texts(language)[key]
    if values.keys() != names(language, key):
        raise TypeError(f"{key!r} takes {sorted(names(language, key))}, not {sorted(values)}")
    count = values.get("count")
    category = Locale(language).plural_form(count) if isinstance(count, int) else "other"
    said = {name: value.in_language(language) if isinstance(value, Text) else value for name, value in values.items()}
    return forms.get(category, forms["other"]).format(**said)


@cache
def names(language: str, key: str) -> frozenset[str]:
    """The names of a text's values."""
    forms = texts(language)[key]
    found = {name for form in forms.values() for _, name, _, _ in Formatter().parse(form) if name}
    return frozenset(found | ({"count"} if len(forms) > 1 else set()))


class Text:
    """A text by its key and values, which can be said in any language; `str` says it in English.

    Attributes:
        key: of `texts`.
        values: what is filled in: numbers, strings, and other texts.

    Raises:
        KeyError, TypeError: as `translate`, when it is made.
    """

    def __init__(self, key: str, /, **values: Any) -> None:
        self.key = key
        self.values = {name: value if isinstance(value, int | Text) else shown(value) for name, value in values.items()}
        str(self)

    def __str__(self) -> str:
        return self.in_language("en")

    def in_language(self, language: str) -> str:
        return translate(language, self.key, **self.values)

    def as_json(self) -> dict[str, Any]:
        """The form for another program; `from_json` makes it again, and so does `errorText` of the page."""
        values = {name: value.as_json() if isinstance(value, Text) else value for name, value in self.values.items()}
        return {"key": self.key, "values": values, "text": str(self)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        values = data["values"].items()
        return cls(
            data["key"], **{name: Text.from_json(value) if isinstance(value, dict) else value for name, value in values}
        )


def shown(value: object) -> str:
    """A value as text that can be written anywhere: a file's name, for one, may have bytes that are no UTF-8."""
    return str(value).encode("utf-8", "backslashreplace").decode("utf-8")
