// Markdown as safe elements.
//
// What a model or a person wrote is Markdown in which HTML is text, but for the elements of html.js: markdown-it writes it, and DOMPurify then keeps
// only the elements and attributes that Markdown needs. Formulas and the colours of code come afterwards, from the text
// of the elements, and never from HTML in a message.

import cjkFriendly from "../../vendor/cjk-friendly.js";
import DOMPurify from "../../vendor/dompurify.js";
import markdownit from "../../vendor/markdown-it.js";
import { tasklist } from "../../vendor/tasklist.js";
import { make } from "../common/dom.js";
import { codeBlock } from "./code.js";
import { fencesPlugin } from "./fences.js";
import { closed, withTable } from "./growing.js";
import { htmlPlugin } from "./html.js";
import { markFormulas, mathsPlugin } from "./maths.js";

/** @import { Labels } from "./markdown.js" */

const md = markdownit({ html: false, linkify: true, breaks: true });
md.use(mathsPlugin).use(fencesPlugin).use(htmlPlugin).use(cjkFriendly).use(tasklist, { label: false });
md.linkify.set({ fuzzyLink: false, fuzzyEmail: false, fuzzyIP: false }); // readme.md is a file
md.validateLink = (url) => /^(https?:\/\/|mailto:)/i.test(url.trim());
md.core.ruler.disable(["normalize", "block"]); // `parse` and `elements` do the two halves of the work

// markdown-it drops what is inside more than 100 blocks: from 90 on, it is text.
md.block.ruler.before("table", "deep", (state, startLine, endLine, silent) => {
  if (silent || state.level < 90) return false;
  state.push("paragraph_open", "p", 1).map = [startLine, endLine];
  const content = state.getLines(startLine, endLine, state.blkIndent, false).trim();
  Object.assign(state.push("inline", "", 0), { content, children: [], map: [startLine, endLine] });
  state.push("paragraph_close", "p", -1);
  state.line = endLine;
  return true;
});

// An image from elsewhere would tell its server who reads the answer, and when: it is a link.
md.renderer.rules.image = (tokens, index, options, env, renderer) => {
  const source = md.utils.escapeHtml(tokens[index].attrGet("src"));
  const text = renderer.renderInlineAsText(tokens[index].children, options, env);
  return `<a href="${source}">${md.utils.escapeHtml(text) || source}</a>`;
};

// The alignment of a column is a class, so that no message has a style of its own.
for (const type of ["th_open", "td_open"])
  md.renderer.rules[type] = (tokens, index, options, _env, renderer) => {
    const token = tokens[index];
    const alignment = /text-align:(\w+)/.exec(token.attrGet("style") ?? "")?.[1];
    token.attrs = alignment ? [["class", alignment]] : null;
    return renderer.renderToken(tokens, index, options);
  };

const TAGS =
  "p br hr h1 h2 h3 h4 h5 h6 strong em s sub sup a ul ol li blockquote pre code div span input table thead tbody tr th " +
  "td details summary";
const PURIFIER_OPTIONS = {
  ALLOWED_TAGS: TAGS.split(" "),
  ALLOWED_ATTR: ["href", "title", "class", "start", "type", "checked", "disabled"],
  ALLOW_DATA_ATTR: false,
  ALLOW_ARIA_ATTR: false,
  RETURN_DOM_FRAGMENT: true,
};
const purifier = DOMPurify(window);
purifier.addHook("afterSanitizeAttributes", (node) => {
  if (node.tagName !== "A") return;
  node.setAttribute("target", "_blank");
  node.setAttribute("rel", "noopener noreferrer");
});

/**
 * The block tokens of a text, whose inline parts `elements` parses.
 *
 * @param {string} text
 * @param {Record<string, any>} env gets the targets of links
 * @param {boolean} streaming the text may be cut anywhere
 * @returns {any[]} tokens of markdown-it
 */
export function parse(text, env, streaming) {
  const tokens = [];
  env.streaming = streaming;
  md.block.parse(streaming ? withTable(text) : text, md, env, tokens);
  const last = streaming && tokens.findLast(({ type }) => type === "inline" || type === "fence");
  if (last?.type === "inline") {
    const content = closed(last.content);
    last.meta = { isCompleted: content !== last.content };
    last.content = content;
  }
  return tokens.filter(({ type }) => type !== "reference_definition"); // shows nothing
}

/**
 * The elements for block tokens.
 *
 * @param {any[]} tokens
 * @param {any} parent the opening token of the list that they are in, or null
 * @param {Record<string, any>} env
 * @param {Labels} labels
 * @returns {HTMLElement[]}
 */
export function elements(tokens, parent, env, labels) {
  const state = new md.core.State("", md, env);
  state.tokens = parent ? [parent, ...tokens] : tokens;
  md.core.process(state);
  const html = md.renderer.render(tokens, md.options, env);
  const fragment = purifier.sanitize(html, PURIFIER_OPTIONS);
  markFormulas(fragment);
  for (const code of fragment.querySelectorAll("pre > code")) {
    const language = /language-(\S+)/.exec(code.className)?.[1] ?? "";
    code.parentElement.replaceWith(codeBlock(code.textContent, language, labels));
  }
  fragment.querySelectorAll("table").forEach((table) => putInFrame(table, labels));
  for (const box of fragment.querySelectorAll("input"))
    box.setAttribute("aria-label", box.closest("li").textContent.trim().slice(0, 200));
  return [...fragment.children];
}

// A frame that scrolls where the table is too wide; keyboards scroll what has the focus.
function putInFrame(table, labels) {
  const frame = make("div", { class: "table", tabindex: 0, role: "group", "aria-label": labels.table });
  table.replaceWith(frame);
  frame.append(table);
}
