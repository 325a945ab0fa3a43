// Blocks of code: their frame with the language and a button that copies, and their colours.

import DOMPurify from "../../vendor/dompurify.js";
import { below, focused, make } from "../common/dom.js";
import * as libraries from "../common/libraries.js";
import { codeTools, numberLines } from "./code_tools.js";

/** @import { Labels } from "./markdown.js" */

const MAX_HIGHLIGHTED = 50_000; // characters
const SHARE = 1 / 20; // of the time may go into the colours of code that grows

const COLOURS = { ALLOWED_TAGS: ["span"], ALLOWED_ATTR: ["class"], RETURN_DOM_FRAGMENT: true };
let library;

/**
 * @param {string} text
 * @param {string} language as the fence names it, or ""
 * @param {Labels} labels
 */
export function codeBlock(text, language, labels) {
  const copyButton = make("button", { type: "button", class: "copy", "aria-label": labels.copyCode }, labels.copy);
  const code = make("code", {}, text);
  copyButton.addEventListener("click", async () => {
    if (!(await copy(code.textContent))) return;
    copyButton.textContent = labels.copied;
    setTimeout(() => (copyButton.textContent = labels.copy), 2000);
  });
  const tools = make("div", { class: "code-tools" });
  const head = make("div", { class: "code-head" }, make("span", { class: "code-language" }, language), tools);
  const node = make("div", { class: "code", dir: "ltr" }, head, make("pre", { tabindex: 0 }, code));
  node.dataset.language = language;
  tools.append(...codeTools(node, language, labels), copyButton);
  return node;
}

/**
 * Copies a text. The clipboard exists only with https and on localhost; elsewhere the old command does it.
 *
 * @param {string} text
 * @returns {Promise<boolean>} whether it was copied
 */
export async function copy(text) {
  if (navigator.clipboard)
    return navigator.clipboard.writeText(text).then(
      () => true,
      () => false,
    );
  const area = make("textarea", { readonly: "", style: "position: fixed; opacity: 0" });
  const before = focused();
  area.value = text;
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  before?.focus();
  return done;
}

/**
 * Code that grows: what is new is plain until `highlightCode` colours it.
 *
 * @param {HTMLElement} node of `codeBlock`
 * @param {string} text
 */
export function updateCode(node, text) {
  const code = below(node, "code");
  const shown = code.textContent ?? "";
  if (text === shown) return;
  delete node.dataset.coloured;
  if (text.startsWith(shown)) code.append(text.slice(shown.length));
  else code.textContent = text;
  numberLines(node);
}

const grown = new WeakMap(); // a growing block → when it was coloured, and how long that took

/**
 * Colours the blocks of code below a node, or the node itself: at once if the library is loaded, otherwise as soon as
 * it is. Blocks that grow are coloured again only so often that it takes a twentieth of the time.
 *
 * @param {HTMLElement} root
 * @param {boolean} [growing]
 */
export async function highlightCode(root, growing = false) {
  /** @type {NodeListOf<HTMLElement>} */
  const inside = root.querySelectorAll(".code");
  const blocks = [...(root.matches?.(".code") ? [root] : []), ...inside];
  const plain = blocks.filter((node) => node.dataset.language && !node.dataset.coloured);
  if (plain.length === 0) return;
  if (!library) library = await libraries.highlight();
  for (const node of plain) {
    const last = grown.get(node);
    const now = performance.now();
    if (growing && last && now - last.at < last.took / SHARE) continue;
    colour(node);
    grown.set(node, { at: now, took: performance.now() - now });
  }
}

function colour(node) {
  const { language } = node.dataset;
  const code = node.querySelector("code");
  node.dataset.coloured = "true";
  if (!library.getLanguage(language) || code.textContent.length > MAX_HIGHLIGHTED) return;
  const { value } = library.highlight(code.textContent, { language, ignoreIllegals: true });
  code.replaceChildren(DOMPurify.sanitize(value, COLOURS));
}
