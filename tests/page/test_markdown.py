"""page/web/markdown/markdown.js in a real browser."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Request, expect

from tests.browser import permissions

SHOW = """async ([text, options]) => {
    const root = Object.assign(document.createElement("div"), { className: "markdown" });
    document.body.replaceChildren(root);
    markdown.renderInto(root, text, options);
    return root.innerHTML;
}"""


@pytest.fixture
def page(modules: Page) -> Iterator[Page]:
    """The page; afterwards, nothing that a test showed may have run or asked another host."""
    modules.evaluate("window.ran = 0")
    requests: list[str] = []

    def note(request: Request) -> None:
        requests.append(request.url)

    modules.on("request", note)
    yield modules
    modules.wait_for_timeout(20)
    modules.remove_listener("request", note)
    assert modules.evaluate("window.ran") == 0
    assert all(url.startswith(("http://127.0.0.1:", "data:font")) for url in requests)


def show(page: Page, text: str, **options: Any) -> str:
    """Shows a message and returns its HTML before formulas and colours are there."""
    return page.evaluate(SHOW, [text, options])


def text_of(page: Page, selector: str = ".markdown") -> str:
    return page.locator(selector).first.inner_text()


# Safety


HOSTILE = [
    "<script>ran++</script>",
    "<img src=x onerror=ran++>",
    "<svg><script>ran++</script></svg>",
    "<svg><style><img src=x onerror=ran++></style></svg>",
    "<math><mtext><table><mglyph><style><!--</style><img title='--&gt;&lt;img src=1 onerror=ran++&gt;'>",
    "<noscript><p title='</noscript><img src=x onerror=ran++>'>",
    "<form><math><mtext></form><form><mglyph><style></math><img src onerror=ran++>",
    "<iframe srcdoc='<script>parent.ran++</script>'></iframe>",
    "<a href='javascript:ran++'>a</a>",
    "<style>* { display: none }</style>",
    "<!-- --!><img src=x onerror=ran++> -->",
    "`<img src=x onerror=ran++>`",
    "```\n</code></pre><img src=x onerror=ran++>\n```",
    '```"><img src=x onerror=ran++>\ncode\n```',
    "```html\n<img src=x onerror=ran++>\n```",
    "$<img src=x onerror=ran++>$",
    "$\\href{javascript:ran++}{x}$ $\\htmlData{a=b}{x}$ $\\includegraphics{http://127.0.0.2/x.png}$",
    '$$"><img src=x onerror=ran++>$$',
    "| <img src=x onerror=ran++> | b |\n|---|---|\n| <script>ran++</script> | c |",
    "- [x] <img src=x onerror=ran++>",
    "[<img src=x onerror=ran++>](https://a.b '\"onmouseover=ran++ x=\"')",
    '!["onerror=ran++ x="](https://127.0.0.2/x.png)',
    '![a](x"onerror=ran++)',
    "&lt;img src=x onerror=ran++&gt; &#60;img src=x onerror=ran++&#62;",
    '<https://a.b/"onmouseover=ran++>',
]


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_in_a_message_runs_or_becomes_an_element_of_its_own(page: Page, text: str):
    show(page, text)
    page.wait_for_function("() => !document.querySelector('.math:not(.done)')")
    page.evaluate(
        "document.querySelectorAll('.markdown *').forEach((node) => node.dispatchEvent(new Event('mouseover')))"
    )
    names = set(page.evaluate("[...document.querySelectorAll('.markdown *')].map((node) => node.localName)"))
    assert not names & {
        "script",
        "img",
        "iframe",
        "style",
        "form",
        "noscript",
        "object",
        "embed",
        "base",
        "meta",
        "link",
    }
    handlers = "[...document.querySelectorAll('.markdown *')].flatMap((node) => node.getAttributeNames())"
    assert not [name for name in page.evaluate(handlers) if name.startswith("on")]
    page.evaluate(SHOW, [text, {"streaming": True}])


def test_html_is_shown_as_it_was_written(page: Page):
    source = "a <b onclick=ran++>bold</b> <!-- note --> &amp; <unknown-tag/> <think> 1 < 2 > 0"
    show(page, source)
    assert text_of(page) == source.replace("&amp;", "&")


@pytest.mark.parametrize(
    "target",
    ["javascript:ran++", "JaVaScRiPt:ran++", "java&#x0A;script:ran++", "data:text/html,<script>ran++</script>",
     "vbscript:x", "blob:x", "/logout", "file:///etc/passwd", "&#106;avascript:ran++", "\u0001javascript:ran++"],
)  # fmt: skip
def test_a_link_leads_only_to_the_web_or_to_a_mail_address(page: Page, target: str):
    show(page, f"[text](<{target}>) and ![image](<{target}>) and <{target}>")
    assert page.locator(".markdown a").count() == 0
    assert "text" in text_of(page)


def test_links_open_elsewhere_and_tell_nothing(page: Page):
    show(page, "https://example.com/a_b. [mail](mailto:a@b.c) ![a plot](https://example.com/plot.png) readme.md")
    links = page.locator(".markdown a")
    assert links.evaluate_all("(all) => all.map((a) => [a.getAttribute('href'), a.text, a.rel, a.target])") == [
        ["https://example.com/a_b", "https://example.com/a_b", "noopener noreferrer", "_blank"],
        ["mailto:a@b.c", "mail", "noopener noreferrer", "_blank"],
        ["https://example.com/plot.png", "a plot", "noopener noreferrer", "_blank"],
    ]


@pytest.mark.parametrize(
    "text",
    [">" * 5000 + " x", "- " * 2000 + "x", "[" * 20000, "*a **b " * 4000, "`" * 9999 + " " + "`" * 9998, "<" * 20000,
     "\\(" * 20000, "$a" * 2000, "|" * 5000 + "\n" + "|-" * 5000, "![" * 5000 + "](" * 5000, "$" + "{" * 5000 + "$",
     "$" + "\\def\\a{\\a\\a}\\a" + "$"],
    ids=range(12),
)  # fmt: skip
def test_nesting_without_end_is_still_shown(page: Page, text: str):
    show(page, text)
    page.wait_for_function("() => !document.querySelector('.math:not(.done)')")
    assert text_of(page).strip()


def test_each_block_is_written_in_the_direction_of_its_text(page: Page):
    show(page, "שלום **(a)**!\n\nHello שלום\n\n- مرحبا\n\n  ```\n  x\n  ```\n\n| א | b |\n|---|---|\n| 1 | 2 |")
    blocks = page.locator(".markdown > *, .code").evaluate_all(
        "(all) => all.map((it) => getComputedStyle(it).direction)"
    )
    assert blocks == ["rtl", "ltr", "rtl", "ltr", "rtl"]


# Formulas


def formulas(page: Page, text: str, **options: Any) -> list[tuple[str, bool]]:
    show(page, text, **options)
    found = "(all) => all.map((node) => [node.dataset.tex, node.classList.contains('display')])"
    return [(tex, display) for tex, display in page.locator(".math").evaluate_all(found)]


@pytest.mark.parametrize(
    "text",
    ["It costs $5 and $10.", "$5–$10", "from $20,000 to USD$30,000", "a $ b $ c", "\\$x\\$", "`$x$`", "$x",
     "US$ 5 or 5 $.", "```\n$x$\n```", "$ x$", "\\\\(x\\\\)", "$$", "\\(\\)", "$PATH and $HOME",
     "$HOME/$USER", "${HOME}/${USER}", "echo $A:$B", "5$–$6", "5$–6$", "price=$p; tax=$t", "$(pwd)/$(date)",
     "/mnt/$A/$B/c", "cp $SRC/a.txt /srv/$NAME$", "R$5 a 6$", "`$`5 or 6$, $k$NN",
     "$6, 5$-6$", "$6 or 5$–16,50$ now", "$5-6, 7$-8$",
     "$5,50-6,50$", "$5,50 - 6,50$ je kg und $1.000,00-2.000,00$", "$5.50–6.50$", "$20K–30K$", "$1,000/2,000$, or",
     "$5,50 bis 6,50$", "$5 to 6$", "**$5,50-6,50$**", "|$5,50-6,50$|a|\n|-|-|",
     "$#/$@ and $?:$!", "#{$a}#{$b}", "$user->name = $id", "$x=5;$y=6",
     "echo $$ and kill $$", "echo $$ > /tmp/my_pid; kill $$", "PID=$$; PPID=$$", "/tmp/$$.log and /tmp/$$.pid",
     "The PID is $$ and $! is that of the last job; $$ stays", "$$ or $$", "$$ is the PID.\nUse kill $$",
     "$$ 是进程号，用 kill $$", "a $$ b $HOME $$ c",
     "`$$` or `x$$`, and my_$$ or your_$$", "- $$ is the PID of the shell: kill -9 $$"],
)  # fmt: skip
def test_money_and_code_are_not_formulas(page: Page, text: str):
    assert formulas(page, text) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("so $x$ is", [("x", False)]),
        ("$5 plus $x^2$.", [("x^2", False)]),
        ("\\(a_1 * b_1 * c\\)", [("a_1 * b_1 * c", False)]),
        ("in \\[z\\] and $$w$$ too", [("z", True), ("w", True)]),
        ("Then:\n$$\na = b\n= c\n$$\nend", [("a = b\n= c", True)]),
        ("\\[\n- x\n\\]", [("- x", True)]),
        ("- item\n\n  $$\n  x\n  $$", [("x", True)]),
        ("> $$x$$", [("x", True)]),
        ("$\\text{\\$5}$", [("\\text{\\$5}", False)]),
        ("设$x$为实数", [("x", False)]),
        ("$5-6$, $5.5-6.5$ and $0,5$", [("5-6", False), ("5.5-6.5", False), ("0,5", False)]),
        ("$(0,1)-(2,3)$ $5,5 \\cdot 6,5$", [("(0,1)-(2,3)", False), ("5,5 \\cdot 6,5", False)]),
        ("at $25^\\circ$C, $90^{\\circ}$F", [("25^\\circ", False), ("90^{\\circ}", False)]),
        ("$n$-1 of $2$-$3$, $2$-3", [("n", False), ("2", False), ("3", False), ("2", False)]),
        ("the $n$th of ($a$/$b$), **$c$**-many", [("n", False), ("a", False), ("b", False), ("c", False)]),
        ("| $a$ | b |\n|---|---|\n| $c$ | d |", [("a", False), ("c", False)]),
        ("so $$ x = 1 $$ and $$xy > 0$$, $$a+b$$", [(" x = 1 ", True), ("xy > 0", True), ("a+b", True)]),
        ("$$\nwords only\n$$", [("words only", True)]),
        ("$$\\text{speed} = d/t$$", [("\\text{speed} = d/t", True)]),
        ("$$ \\text{the price is $x$} $$", [("\\text{the price is $x$}", True)]),
        ("$$.5x$$ $${}^{14}C$$ $$|x|$$ $$-1$$", [(".5x", True), ("{}^{14}C", True), ("|x|", True), ("-1", True)]),
    ],
)
def test_formulas_are_found(page: Page, text: str, expected: list[tuple[str, bool]]):
    assert formulas(page, text) == expected


def test_formulas_are_typeset_and_can_be_read_aloud(page: Page):
    show(page, "Here $\\frac{a}{b}$ and\n\n$$\\sum_i x_i$$")
    page.wait_for_selector(".math.display.done .katex-display")
    assert page.locator(".math .katex math").count() == 2
    assert page.evaluate("document.fonts.load('16px KaTeX_Main').then((fonts) => fonts.length)") == 1


def test_a_formula_with_a_mistake_stays_as_it_was_written(page: Page):
    show(page, "a $\\frac{a$ b")
    page.wait_for_selector(".math.done")
    assert text_of(page) == "a $\\frac{a$ b"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$f: X \\to Y$ and $x^2$", ["f: X \\to Y", "x^2"]),
        ("$x:=5$, $a:b = 1:2$, \\(P:Q\\), $x^2$", ["x:=5", "a:b = 1:2", "P:Q", "x^2"]),
        ("$$f:A\\to B$$", ["f:A\\to B"]),
        ("- $data:x$\n\n  \\[\n  javascript:x\n  \\]", ["data:x", "javascript:x"]),
        ("$[a,b]>c$ $x-->y$ $a</b$ $x^2$", ["[a,b]>c", "x-->y", "a</b", "x^2"]),
    ],
)
def test_a_formula_that_looks_like_an_address_or_html_is_typeset(page: Page, text: str, expected: list[str]):
    assert [tex for tex, _ in formulas(page, text)] == expected
    expect(page.locator(".math.done .katex")).to_have_count(len(expected))


def test_a_formula_on_which_katex_fails_leaves_the_others_typeset(page: Page):
    fails = """async () => {
        const katex = (await import("/vendor/katex/katex.js")).default;
        const { render } = katex;
        katex.render = (tex, ...others) => (tex === "fails" ? null.x : render(tex, ...others));
        return () => (katex.render = render);
    }"""
    restore = page.evaluate_handle(fails)
    show(page, "$fails$ and $y_7$")
    expect(page.locator(".math.done .katex")).to_have_count(1)
    assert text_of(page, ".math") == "$fails$"
    restore.evaluate("(restore) => restore()")


def test_an_open_formula_is_one_only_while_the_answer_grows(page: Page):
    assert formulas(page, "Then\n\n\\[\n\\frac{a}", streaming=True) == [("\\frac{a}", True)]
    assert formulas(page, "Then\n\n\\[\n\\frac{a}") == []


COPY = """([from, to]) => {
    const [start, end] = [from, to].map((selector) => document.querySelector(selector));
    const range = document.createRange();
    range.setStart(start.firstChild ?? start, 0);
    range.setEnd(end, end.childNodes.length);
    getSelection().removeAllRanges();
    getSelection().addRange(range);
    const event = new ClipboardEvent("copy", { clipboardData: new DataTransfer(), bubbles: true, cancelable: true });
    document.body.dispatchEvent(event);
    return event.defaultPrevented ? event.clipboardData.getData("text/plain") : null;
}"""


def test_a_selection_is_copied_with_the_source_of_its_formulas(page: Page):
    text = "Here $x^2$ and \\(y\\):\n\n$$\n\\sum_i x_i\n$$\n\nend"
    show(page, text)
    expect(page.locator(".math.done .katex-html")).to_have_count(3)
    assert page.evaluate(COPY, [".markdown p", ".markdown p:last-child"]) == (
        "Here $x^2$ and \\(y\\):\n\n$$\\sum_i x_i$$\n\nend"
    )
    inside = page.evaluate(COPY, [".math .katex-html", ".math .katex-html"])
    assert inside == "$x^2$"  # a formula is copied whole
    show(page, "Without *any*")
    assert page.evaluate(COPY, [".markdown p", ".markdown p"]) is None  # the browser's own way


# Tables, lists, code


def test_a_table_keeps_its_alignment_in_one_frame(page: Page):
    show(page, "| a | b | c | d |\n|:--|:-:|--:|---|\n| 1 | 2 | 3 | 4 |", labels={"table": "表"})
    assert page.locator("td").evaluate_all("(all) => all.map((cell) => cell.className)") == [
        "left",
        "center",
        "right",
        "",
    ]
    frame = page.locator(".table")
    assert frame.get_attribute("aria-label") == "表" and frame.get_attribute("tabindex") == "0"
    assert page.locator(".markdown [style]").count() == 0


def test_task_lists_are_checked(page: Page):
    show(page, "- [x] done\n- [ ] open\n- plain\n\n1. [X] loose\n\n2. text")
    boxes = page.locator("input[type=checkbox]")
    assert boxes.evaluate_all("(all) => all.map((box) => [box.checked, box.disabled, box.ariaLabel])") == [
        [True, True, "done"],
        [False, True, "open"],
        [True, True, "loose"],
    ]


@pytest.mark.firefox
def test_code_has_its_language_colours_and_a_button_that_copies(page: Page, browser: Browser):
    page.context.grant_permissions(permissions(browser))
    labels = {"copy": "コピー", "copied": "コピーしました", "copyCode": "コードをコピー", "table": "表"}
    show(
        page,
        "1. In a list:\n   ```python\n   def f(): return '<b>'\n   ```\n\n~~~\nplain\n~~~\n\n    indented",
        labels=labels,
    )
    page.wait_for_selector(".code .hljs-keyword")
    assert page.locator(".code-language").all_inner_texts() == ["python", "", ""]
    said = """() => {
        const button = document.querySelector(".copy");
        new MutationObserver(() => (window.said ??= button.textContent)).observe(button, { childList: true });
    }"""
    page.evaluate(said)  # noted, because it is only said for a moment
    page.get_by_role("button", name="コードをコピー").first.click()
    page.wait_for_function("() => window.said === 'コピーしました'")
    assert page.evaluate("navigator.clipboard.readText()") == "def f(): return '<b>'\n"


def blocks_of_code(page: Page) -> list[str]:
    return page.locator(".code code").evaluate_all("(all) => all.map((code) => code.textContent)")


README = "# Title\n\n```bash\npip install x\n```\n\n## Usage\n\n```python\nimport x\n```\n\nThat is all.\n"


@pytest.mark.parametrize(
    ("before", "inside", "after"),
    [
        ("```markdown\n", README, "```"),
        ("~~~md\n", README.replace("```", "~~~"), "~~~"),
        ("```markdown:README.md\n", README, "```"),
        ("```{.md}\n", README, "```"),
        ("````markdown\n", README + "```\nno language\n```\n", "````"),
        ("```markdown\n", "1. One:\n\n     ```sh\n     ls\n     ```\n\n- ```sh\n  ls\n  ```\n", "```"),
        ("```markdown\n", f"```markdown\n{README}```\n\nend\n", "```"),
        ("```markdown\n", "Write `x` or ```y``` and\n``` z ```\n", "```"),
        ("```markdown\n", "````python\n```\n````\n", "```"),
    ],
)
def test_blocks_of_code_nest_in_one_that_is_markdown(page: Page, before: str, inside: str, after: str):
    whole = f"Here:\n\n{before}{inside}{after}\n\nThat was it."
    show(page, whole)
    assert blocks_of_code(page) == [inside]
    assert text_of(page).endswith("That was it.")
    show(page, whole[: whole.index(inside) + len(inside)], streaming=True)
    assert [code.rstrip() for code in blocks_of_code(page)] == [inside.rstrip()]


def test_blocks_of_code_in_other_languages_end_at_the_first_closing_fence(page: Page):
    show(page, '```python\n"""\n```bash\n"""\n```\n\n```markdown\n# Title\n```\n\n```bash\nls\n```\n\nend')
    assert blocks_of_code(page) == ['"""\n```bash\n"""\n', "# Title\n", "ls\n"]
    show(page, "- a\n\n  ```md\n  ```sh\n  x\n\nend")
    assert text_of(page).endswith("end") and len(blocks_of_code(page)) == 1


def test_lines_stay_lines_and_numbers_go_on(page: Page):
    html = show(page, "one\ntwo\n\n3. three\n4. four")
    assert "one<br>\ntwo" in html and '<ol start="3"' in html


def test_of_the_target_of_a_link_nothing_is_seen(page: Page):
    html = show(page, "[a][1]\n\n[1]: https://a.b\n\n- [c][2]\n\n  [2]: https://c.d")
    assert text_of(page) == "a\n\nc" and 'href="https://a.b"' in html and 'href="https://c.d"' in html


# Growing


def test_open_code_is_code_while_the_answer_grows(page: Page):
    show(page, "See\n\n```python\nprint(1)\n``", streaming=True)
    assert page.locator(".code code").inner_text() == "print(1)\n"
    assert page.locator(".code-language").inner_text() == "python"


GROW = """([text, step]) => {
    const root = Object.assign(document.createElement("div"), { className: "markdown" });
    document.body.replaceChildren(root);
    for (let end = 0; end < text.length; end += step)
        markdown.renderInto(root, text.slice(0, end), { streaming: true });
    markdown.renderInto(root, text);
    const grown = root.innerHTML;
    const whole = document.createElement("div");
    document.body.append(whole);
    markdown.renderInto(whole, text);
    return [grown, whole.innerHTML];
}"""

LONG = """# Title

A paragraph with [a link][1] and $x$ in it
that goes on.

1. one
2. two with `code`

   ```sh
   ls
   ```
3. three

- [x] a
- [ ] b
  - c

> quote
> - d

| a | b |
|--:|---|
| 1 | 2 |
| **3** | `4` |
| 5 |

```python
def f(x):
    return x
```
text at once

$$
y = 1
$$

[1]: https://example.com
"""


@pytest.mark.parametrize("step", [1, 7])
def test_a_message_that_grew_looks_like_one_that_was_shown_at_once(page: Page, step: int):
    show(page, "$a$\n\n```python\n1\n```")  # loads both libraries, so that nothing comes later
    page.wait_for_selector(".math.done")
    page.wait_for_selector(".hljs-number")
    page.evaluate("performance.now = () => 0")  # no pauses: every step is shown
    grown, whole = page.evaluate(GROW, [LONG, step])
    page.evaluate("delete performance.now")
    assert grown == whole
    assert whole.count("hljs-keyword") and "katex" in whole and 'href="https://example.com"' in whole


def test_finished_blocks_and_items_are_left_alone_while_a_message_grows(page: Page):
    kept = """() => {
        const root = document.createElement("div");
        document.body.replaceChildren(root);
        const show = (text) => markdown.renderInto(root, text, { streaming: true });
        const now = performance.now;
        performance.now = () => 0;
        show("one\\n\\n- a\\n- b\\n- c");
        const nodes = [root.querySelector("p"), root.querySelector("ul"), root.querySelector("li")];
        show("one\\n\\n- a\\n- b\\n- c d\\n\\n```python\\nx");
        const code = root.querySelector(".code");
        const table = "one\\n\\n- a\\n- b\\n- c d\\n\\n```python\\nx = 1\\ny\\n```\\n\\n| a |\\n|---|\\n| 1 |\\n| 2";
        show(table);
        const row = root.querySelector("tbody tr");
        show(`${table} 3 |`);
        performance.now = now;
        const same = [...nodes, code, row].map((node) => root.contains(node));
        return [...same, root.innerText];
    }"""
    *same, text = page.evaluate(kept)
    assert same == [True] * 5
    assert "x = 1\ny" in text and "c d" in text and "2 3" in text


def test_a_message_that_takes_long_to_show_is_shown_late_but_to_its_end(page: Page):
    skipped = """(text) => {
        const root = Object.assign(document.createElement("div"), { className: "markdown" });
        document.body.replaceChildren(root);
        for (const end of ["", " and", " the last"]) markdown.renderInto(root, text + end, { streaming: true });
        return !root.innerText.includes("last");
    }"""
    assert page.evaluate(skipped, "some *words* and `code` " * 200)
    page.wait_for_function("() => document.querySelector('.markdown').innerText.includes('last')")


def test_a_growing_message_takes_less_than_a_twentieth_of_the_time_but_is_never_late_by_seconds(page: Page):
    took = """(cost) => {
        const { performance, setTimeout } = window;
        let [now, looks, pauses] = [0, 0, []];
        performance.now = () => (looks++ % 2 ? (now += cost) : now);
        window.setTimeout = (show, pause) => pauses.push(pause);
        const root = document.createElement("div");
        for (const text of ["one", "one two", "one two three"]) markdown.renderInto(root, text, { streaming: true });
        markdown.renderInto(root, "one two three.");
        delete performance.now;
        window.setTimeout = setTimeout;
        return [pauses, root.innerText];
    }"""
    (pause, _), text = page.evaluate(took, 40)
    assert pause > 19 * 40 and text == "one two three."
    assert page.evaluate(took, 400)[0][0] <= 2000
