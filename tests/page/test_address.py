"""page/web/conversation/address.js by itself in a browser."""

from playwright.sync_api import Browser

from tests.web_modules import open_modules

# Back is pressed again while what the first address asked for is being opened.
BACK_TWICE = """() => {
    history.replaceState(null, "", "#c=a");
    address.asked();
    history.replaceState(null, "", "#c=b");
    address.name("instead of a");
    const between = location.hash;
    address.asked();
    address.name("instead of b");
    return [between, location.hash];
}"""


def test_an_address_that_is_left_meanwhile_is_not_given_another_name(browser: Browser):
    with open_modules(browser, "conversation/address") as page:
        assert page.evaluate(BACK_TWICE) == ["#c=b", "#c=instead+of+b"]
