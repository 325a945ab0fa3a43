// A conversation as one HTML file that needs nothing else, for reading: what is drawn of it, with its formulas as MathML.
// No script runs in it, and it loads nothing.

import { make } from "../common/dom.js";

const POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:";

const STYLE = `
:root { color-scheme: light dark; }
body { max-width: 46rem; margin: 2rem auto; padding: 0 1rem; line-height: 1.6;
  font-family: system-ui, "Hiragino Sans", "PingFang SC", "Microsoft YaHei", sans-serif; }
h1 { font-size: 1.4rem; }
article { margin-top: 1.5rem; overflow-wrap: anywhere; }
.files { padding: 0; list-style: none; }
.files button { padding: 0; border: 0; background: none; color: inherit; font: inherit; }
img { display: block; max-width: 100%; max-height: 30rem; }
.user { margin-inline-start: 15%; padding: 0.6rem 1rem; border-radius: 1rem; background: rgb(128 128 128 / 15%); }
.typed { white-space: pre-wrap; }
pre { overflow-x: auto; padding: 0.8rem; border: 1px solid rgb(128 128 128 / 40%); border-radius: 0.6rem; }
code { font-family: ui-monospace, Consolas, monospace; font-size: 0.9em; }
.code-language, footer { color: GrayText; font-size: 0.8rem; }
table { border-collapse: collapse; }
th, td { padding: 0.3rem 0.7rem; border: 1px solid rgb(128 128 128 / 40%); }
blockquote { margin: 0; padding-inline-start: 1rem; border-inline-start: 3px solid rgb(128 128 128 / 40%); }
`;

const LEFT_OUT =
  ".actions, .asking, .ending, .unfold, .progress, .tokens, .alternatives, .code-tools, .line-numbers, .preview, .katex-html, .summarised > p, .summarised .hint, [hidden]";

/**
 * @param {string} name
 * @param {Element} messages what is drawn of the conversation
 * @returns {string}
 */
export function toHTML(name, messages) {
  const copy = /** @type {Element} */ (messages.cloneNode(true));
  copy.querySelectorAll(LEFT_OUT).forEach((node) => node.remove());
  for (const button of copy.querySelectorAll("button")) button.replaceWith(...button.childNodes);
  copy.querySelectorAll(".reasoning").forEach((fold) => fold.removeAttribute("open"));
  for (const node of copy.querySelectorAll("*")) strip(node);
  const body = make("body", {}, make("h1", {}, name), ...copy.children);
  const head = make(
    "head",
    {},
    make("meta", { charset: "utf-8" }),
    make("meta", { "http-equiv": "Content-Security-Policy", content: POLICY }),
    make("meta", { name: "viewport", content: "width=device-width, initial-scale=1" }),
    make("title", {}, name),
    make("style", {}, STYLE),
  );
  const { lang } = document.documentElement;
  return `<!doctype html>\n${make("html", { lang }, head, body).outerHTML}\n`;
}

// What belongs to the page and not to the text.
function strip(node) {
  for (const { name } of [...node.attributes])
    if (/^(data-|aria-|on|tabindex|style)/.test(name) && node.namespaceURI === "http://www.w3.org/1999/xhtml")
      node.removeAttribute(name);
}
