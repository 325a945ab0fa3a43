"""Comparing two models, presets, finding and ordering, and the way out, in a browser."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from llm_chatbot.catalogue.rows import DEFAULT_MODEL
from tests.page_visit import FRANCE, Visit


def module(page: Page, name: str, expression: str, *arguments: object) -> Any:
    """The value of an expression over a module of the page, `it`, and over `given`."""
    return page.evaluate(f"(given) => {{ const it = {name}; return {expression}; }}", list(arguments))


# Compare


def test_two_variants_answer_the_same_question_and_what_differs_is_marked(visit: Visit):
    visit.set(max_new_tokens="24")
    visit.open_panel("Settings")
    visit.button("Compare two models").click()
    dialog = visit.page.get_by_role("dialog", name="Compare two models")
    dialog.get_by_label("Question").fill("Write a very short story about a dragon.")
    dialog.get_by_role("combobox", name="Right").select_option(label=f"{DEFAULT_MODEL} · FP16")
    dialog.get_by_role("button", name="Ask both").click()
    expect(dialog.get_by_role("status")).to_contain_text(re.compile("Marked|same"))
    columns = dialog.locator(".compare-column")
    expect(columns).to_have_count(2)
    for index, precision in enumerate(("INT4", "FP16")):
        expect(columns.nth(index).get_by_role("heading")).to_contain_text(precision)
        expect(columns.nth(index).locator(".compare-figures")).to_contain_text(
            re.compile(r"[\d.]+ tokens/s · \d+ tokens")
        )
    answers = [it.inner_text() for it in dialog.locator(".compare-answer").all()]
    assert all(answers) and (answers[0] == answers[1]) == (dialog.locator("mark").count() == 0)
    visit.screenshot("compare")
    columns.last.get_by_role("button", name="Continue with this answer").click()
    expect(dialog).to_have_count(0)
    expect(visit.texts).to_have_text([answers[1]])
    expect(visit.page.locator("#header")).to_contain_text("FP16")
    visit.ask("And of a mouse?")
    visit.reload()
    expect(visit.questions).to_have_text(["Write a very short story about a dragon.", "And of a mouse?"])
    stored = [it for it in visit.stored() if it["role"] == "assistant"]
    assert all("FP16" in it["model"] and it["figures"]["completion_tokens"] <= 24 for it in stored)
    assert visit.page.locator("#set-max_new_tokens").input_value() == "24"


# Presets


def test_a_preset_is_saved_applied_exported_and_imported(visit: Visit, context: BrowserContext, tmp_path: Path):
    visit.set(temperature="0.7")
    visit.open_panel("Settings")
    presets = visit.page.get_by_role("group", name="Presets")
    presets.get_by_label("Name of the preset").fill("Stories")
    presets.get_by_role("button", name="Save as preset").click()
    expect(presets.get_by_role("status")).to_have_text("Saved.")
    visit.set(temperature="0")
    visit.open_panel("Settings")
    presets.get_by_label("Presets", exact=True).select_option("No preset")
    expect(presets.get_by_role("status")).to_have_text("")  # what was said of saving is over
    presets.get_by_label("Presets", exact=True).select_option("Stories")
    expect(visit.page.locator("#set-temperature")).to_have_value("0.7")
    visit.screenshot("presets")
    name, exported = visit.download(presets.get_by_role("button", name="Export presets").click)
    file = tmp_path / name
    assert json.loads(exported)["presets"][0]["settings"]["temperature"] == 0.7
    visit.reload()
    expect(presets.get_by_label("Presets", exact=True).locator("option:checked")).to_have_text("Stories")
    presets.get_by_role("button", name="Delete preset").click()
    expect(presets.get_by_role("option")).to_have_text(["No preset"])
    for content, said in ((exported, "Imported 1 preset."), (b"{}", "no presets in this file")):
        file.write_bytes(content)
        presets.locator("input[type=file]").set_input_files(file)
        expect(presets.get_by_role("status")).to_contain_text(said)
    expect(presets.get_by_role("option")).to_have_text(["No preset", "Stories"])


def test_no_preset_takes_away_what_the_preset_gave_in_each_conversation(visit: Visit):
    visit.set(temperature="0.7", top_k="7")
    visit.open_panel("Settings")
    prompt = visit.page.get_by_label("System prompt")
    prompt.fill("Answer in one word.")
    presets = visit.page.get_by_role("group", name="Presets")
    chosen = presets.get_by_label("Presets", exact=True).locator("option:checked")
    presets.get_by_label("Name of the preset").fill("Short")
    presets.get_by_role("button", name="Save as preset").click()
    visit.set_number("max_new_tokens", "4")
    visit.ask(FRANCE)
    visit.begin()
    expect(chosen).to_have_text("Short")  # with the last settings
    visit.set_number("top_k", "9")
    presets.get_by_label("Presets", exact=True).select_option("No preset")
    expect(prompt).to_have_value("")
    for name, value in {"temperature": "0", "top_k": "9", "max_new_tokens": "4"}.items():
        expect(visit.page.locator(f"#set-{name}")).to_have_value(value)
    visit.open_panel("Conversations")
    visit.names.first.click()
    expect(chosen).to_have_text("Short")
    expect(prompt).to_have_value("Answer in one word.")
    presets.get_by_role("button", name="Delete preset").click()
    expect(chosen).to_have_text("No preset")
    expect(prompt).to_have_value("Answer in one word.")  # what the conversation has stays


def test_what_is_set_while_a_preset_is_saved_stays(visit: Visit):
    visit.open_panel("Settings")
    presets = visit.page.get_by_role("group", name="Presets")
    presets.get_by_label("Name of the preset").fill("Short")
    # As soon as the preset is in the list, before the conversation has it.
    presets.get_by_label("Presets", exact=True).evaluate("""select => new MutationObserver((_, observer) => {
        observer.disconnect();
        const number = document.querySelector("#set-max_new_tokens");
        number.value = "4";
        number.dispatchEvent(new Event("input"));
    }).observe(select, { childList: true })""")
    presets.get_by_role("button", name="Save as preset").click()
    expect(presets).to_contain_text("Saved")
    expect(presets.get_by_label("Presets", exact=True).locator("option:checked")).to_have_text("Short")
    expect(visit.page.locator("#set-max_new_tokens")).to_have_value("4")


def test_of_a_file_of_presets_only_what_is_well_formed_and_known_is_taken(modules: Page):
    file = {
        "format": "llm-chatbot presets",
        "presets": [
            {"id": "a", "name": " A ", "settings": {"temperature": 1, "top_k": "5", "__proto__x": 1}, "updated": 5},
            {"id": "b", "name": " ", "settings": {}},
            {"id": 3, "name": "C", "settings": {}},
            {"id": "d", "name": "D", "settings": []},
            None,
        ],
    }
    known = {"temperature": "number", "top_k": "number"}
    read = module(modules, "presets", "it.imported(given[0], given[1])", json.dumps(file), known)
    assert read == [{"id": "a", "name": "A", "settings": {"temperature": 1}, "updated": 5}]
    for content in ("", "[]", "null", '{"presets": []}'):
        assert module(modules, "presets", "it.imported(given[0], {})", content) == []


def test_the_newer_of_two_presets_with_a_name_or_id_stays(modules: Page):
    old, new = ({"id": id, "name": "A", "settings": {}, "updated": time} for id, time in (("1", 1), ("2", 2)))
    assert module(modules, "presets", "it.merged([given[0]], [given[1]])", old, new) == {"presets": [new], "count": 1}
    assert module(modules, "presets", "it.merged([given[1]], [given[0]])", old, new) == {"presets": [new], "count": 0}
    saved = module(modules, "presets", "it.withPreset([given[0]], given[1])", old, {**new, "settings": {"top_k": 3}})
    assert saved == [{"id": "1", "name": "A", "settings": {"top_k": 3}, "updated": 2}]


# Find and order


def conversation(name: str, *contents: str, **others: object) -> dict:
    messages = [{"id": str(index), "role": "user", "content": content} for index, content in enumerate(contents)]
    return {"id": name, "name": name, "messages": messages, **others}


def found(page: Page, query: str, *conversations: dict) -> list[dict]:
    return module(page, "search", "it.search(given[0], given[1])", query, list(conversations))


def test_a_conversation_is_found_by_all_its_words_with_the_place_shown(modules: Page):
    story = conversation(
        "Story",
        "Once upon a time",
        "a dragon lived in the Alps, far away from every village and every road, and it ate sheep",
    )
    other = conversation("Other", "No dragons here? One dragon.")
    (result,) = found(modules, "DRAGON alps", story, other)
    assert result["conversation"]["name"] == "Story"
    (place,) = result["places"]
    assert place["message"]["id"] == "1" and place["match"] == "dragon" and place["before"] == "a "
    assert place["after"].startswith(" lived in the Alps") and place["after"].endswith("…")
    assert [it["conversation"]["name"] for it in found(modules, "dragon", story, other)] == ["Story", "Other"]
    assert [it["conversation"]["name"] for it in found(modules, '"one dragon"', story, other)] == ["Other"]
    assert found(modules, "story", story)[0]["places"][0]["message"] is None
    assert len(found(modules, " ", story, other)) == 2 and found(modules, "unicorn", story, other) == []


@pytest.mark.parametrize(
    ("query", "content", "match"),
    [
        ("cafe", "Im CAFÉ an der Ecke", "CAFÉ"),
        ("ＡＢＣ", "the abc of it", "abc"),
        ("か", "が", None),
        ("東京", "日本の首都は東京です。", "東京"),
        ("b", "😀😀b", "b"),
        ("ß", "Straße", "ß"),
        ("istanbul", "İstanbul", "İstanbul"),
    ],
)
def test_letters_are_compared_as_readers_do(query: str, content: str, match: str | None, modules: Page):
    places = [it["places"][0]["match"] for it in found(modules, query, conversation("", content))]
    assert places == ([match] if match else [])


def test_many_places_are_counted(modules: Page):
    (result,) = found(modules, "x", conversation("", *["x"] * 5))
    assert len(result["places"]) == 3 and result["more"] == 2


def test_conversations_are_grouped_by_day_with_pinned_ones_first(modules: Page):
    now = "new Date(2026, 10, 24, 12).getTime()"
    ages = {"a": 0, "b": 1, "c": 4, "d": 30, "e": 400, "p": 500}  # days
    made = f"given[0].map(([id, days]) => ({{ id, pinned: id === 'p', updated: {now} - days * 86400000 }}))"
    options = f"{{ now: {now}, language: given[1], labels: {{ pinned: 'Pinned', week: 'Week' }} }}"
    grouped = f"it.groupByDate({made}, {options}).map((it) => [it.label, it.conversations.map((it) => it.id).join('')])"
    assert module(modules, "search", grouped, list(ages.items()), "en") == [
        ["Pinned", "p"],
        ["Today", "a"],
        ["Yesterday", "b"],
        ["Week", "c"],
        ["October", "d"],
        ["October 2025", "e"],
    ]
    assert [label for label, _ in module(modules, "search", grouped, list(ages.items()), "ja")][1:3] == ["今日", "昨日"]


# Fits?


def test_what_is_lacking_counts_the_conversion_the_download_and_the_context(modules: Page):
    variant = {"converted": False, "disk": 200, "memory": 150, "chat": {"2048": 100, "4096": 120, "8192": 180}}
    model = {"download": 50, "context": 4096, "variants": {"INT4": variant, "INT8": {**variant, "converted": True}}}

    def lacking(precision: str, context: int, disk: int, memory: int) -> object:
        free = {"disk": disk, "memory": memory}
        return module(modules, "get_model", "it.lacking(...given)", model, precision, context, free)

    assert lacking("INT4", 2048, 240, 140) == {"needsDisk": 250, "needsMemory": 150, "disk": 10, "memory": 10}
    assert lacking("INT8", 8192, 0, 110) == {"needsDisk": 0, "needsMemory": 120, "disk": 0, "memory": 10}
    assert lacking("FP16", 2048, 0, 0) is None


def test_a_folder_that_is_taken_as_it_is_needs_a_download_and_a_copy(modules: Page):
    variant = {"converted": False, "weights": 60, "disk": 200, "memory": 150, "chat": {"2048": 100}}
    model = {"download": 500, "context": 2048, "variants": {"INT4": variant}}
    needed = module(
        modules,
        "get_model",
        "it.lacking(it.published(given[0]), 'INT4', 2048, given[1])",
        model,
        {"disk": 0, "memory": 0},
    )
    assert needed == {"needsDisk": 120, "needsMemory": 100, "disk": 120, "memory": 100}
