// What a person wrote, as it was typed: only blocks of code and code between backticks are drawn.

import markdownit from "../../vendor/markdown-it.js";
import { make } from "../common/dom.js";
import { codeBlock, highlightCode } from "./code.js";
import { fencesPlugin } from "./fences.js";

/** @import { Labels } from "./markdown.js" */

const md = markdownit("zero").enable(["fence", "backticks"]).use(fencesPlugin);

const shown = new WeakMap(); // an element → what it shows

/**
 * Shows a text in an element, which is left to this function alone.
 *
 * @param {HTMLElement} element
 * @param {string} text
 * @param {Labels} labels
 */
export function renderTyped(element, text, labels) {
  const signature = JSON.stringify([text, labels]);
  if (shown.get(element) === signature) return; // a selection in it stays
  shown.set(element, signature);
  element.replaceChildren(...blocks(text.replace(/\r\n?/g, "\n"), labels));
  highlightCode(element);
}

function blocks(text, labels) {
  const lines = text.split("\n");
  const nodes = [];
  let next = 0; // the first line that is not shown yet
  const addLines = (end) => {
    const isWritten = (line) => line.trim() !== "";
    const typed = lines.slice(next, end);
    const [first, last] = [typed.findIndex(isWritten), typed.findLastIndex(isWritten)];
    if (first >= 0) nodes.push(make("div", { class: "typed" }, typed.slice(first, last + 1).flatMap(inline)));
  };
  for (const { type, info, content, map } of md.parse(text, {})) {
    if (type !== "fence") continue;
    addLines(map[0]);
    nodes.push(codeBlock(content, info.trim().split(/\s+/)[0], labels));
    next = map[1];
  }
  addLines(lines.length);
  return nodes;
}

// Code ends in its own line, so that two lone backticks far from each other make none.
function inline(line, index) {
  const [{ children }] = md.parseInline(line, {});
  const parts = children.map(({ type, content }) => (type === "code_inline" ? make("code", {}, content) : content));
  return index ? ["\n", ...parts] : parts;
}
