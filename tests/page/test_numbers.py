"""page/web/panels/numbers.js: numbers as people type them."""

import pytest
from playwright.sync_api import Browser, expect

from tests.page_visit import FRANCE, Visit
from tests.web_modules import open_modules

TEMPERATURE = {"minimum": 0, "maximum": 2, "step": 0.1}
LENGTH = {"minimum": 1, "maximum": 4096, "step": 1}
SEED = {"minimum": -1, "maximum": None, "step": 1}

TYPED = [
    ("0,5", TEMPERATURE, 0.5),
    ("0.5", TEMPERATURE, 0.5),
    (",5", TEMPERATURE, 0.5),
    ("0，５", TEMPERATURE, 0.5),
    ("０．５", TEMPERATURE, 0.5),
    (" 1 ", TEMPERATURE, 1),
    ("0,", TEMPERATURE, 0),
    ("9,5", TEMPERATURE, 2),
    ("1,000", LENGTH, 1000),
    ("1.000", LENGTH, 1000),
    ("4 096", LENGTH, 4096),
    ("7,6", LENGTH, 8),
    ("0", LENGTH, 1),
    ("-1", SEED, -1),
    ("\u22121", SEED, -1),
    ("123456789", SEED, 123456789),
    ("", TEMPERATURE, None),
    ("warm", TEMPERATURE, None),
    ("1,2,3", TEMPERATURE, None),
]


def test_a_comma_is_a_decimal_point_and_what_is_no_number_is_none(browser: Browser):
    with open_modules(browser, "panels/numbers") as page:
        read = page.evaluate("(all) => all.map(([typed, setting]) => numbers.parsedNumber(typed, setting))", TYPED)
    assert read == [number for _, _, number in TYPED]


@pytest.mark.firefox
def test_a_number_with_a_comma_is_taken_and_goes_up_and_down_by_its_step(visit: Visit):
    visit.open_panel("Settings")
    temperature = visit.page.locator("#set-temperature")
    temperature.clear()
    temperature.press_sequentially("0,5")
    expect(visit.page.get_by_role("slider", name="Temperature: slider")).to_have_value("0.5")
    temperature.press("Tab")
    expect(temperature).to_have_value("0.5")
    for key, value in (("ArrowUp", "0.6"), ("ArrowUp", "0.7"), ("ArrowDown", "0.6")):
        temperature.press(key)
        expect(temperature).to_have_value(value)
    visit.set(max_new_tokens="4")
    visit.ask(FRANCE)
    visit.reload()
    visit.open_panel("Settings")
    expect(temperature).to_have_value("0.6")
