#!/usr/bin/env bash
# Library: Gradio 6.31.0
# Guess:   a page of Gradio on which nothing happens does nothing.
# Happens: the bar that says "Loading..." is taken away when the page has started; its loop, which counts the seconds by
#          `requestAnimationFrame`, goes on for as long as the page is open.
# Output:  frames that a page with one text asked for in two seconds: 122
# Matters: with the browser's own work for each frame it is 3.5 % of a core, of each tab in sight, for ever.
# Needs:   a browser of Playwright's, or `chromium` or `chromium-headless-shell` on the PATH.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
show gradio==6.31.0 playwright==1.64.1 <<'PY'
import shutil
from pathlib import Path

import gradio as gr
from playwright.sync_api import sync_playwright

COUNT = "window.asked = 0; const real = requestAnimationFrame; requestAnimationFrame = (act) => (asked++, real(act))"

with gr.Blocks(analytics_enabled=False) as demo:
    gr.HTML("<p id='text'>a text</p>")
_, address, _ = demo.launch(prevent_thread_lock=True, quiet=True)
with sync_playwright() as playwright:
    installed = shutil.which("chromium-headless-shell") or shutil.which("chromium")
    has_own = Path(playwright.chromium.executable_path).is_file()
    browser = playwright.chromium.launch(executable_path=None if has_own else installed)
    page = browser.new_page()
    page.add_init_script(COUNT)
    page.goto(address)
    page.wait_for_selector("#text")
    page.wait_for_timeout(5000)
    before = page.evaluate("asked")
    page.wait_for_timeout(2000)
    asked = page.evaluate("asked") - before
    print(f"frames that a page with one text asked for in two seconds: {asked}")
    browser.close()
demo.close()
assert asked > 10
PY
