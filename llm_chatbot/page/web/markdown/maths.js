// Formulas in Markdown: a plugin for markdown-it, and their typesetting.

import * as libraries from "../common/libraries.js";

const OPENINGS = { $$: "$$", "\\[": "\\]", "\\(": "\\)", $: "$" }; // each with its end

// What tells money and variables (`5$`, `/$USER`, `$A:$B`, `${A}/${B}`) from maths, beside a formula's dollars. Letters
// are Latin ones, as Chinese and Japanese have no spaces around a formula; `$n$th` and `$a$/$b$` are formulas.
const TEXT_BEFORE = /[A-Za-z0-9]$|(?<!\$)\/$/;
const TEXT_AFTER = /^(?!(?:st|nd|rd|th)\b)[A-Za-z0-9{]|^\/(?!\$)/;
const DEGREES = /\^\s*\{?\s*\\circ\s*\}?$/; // what follows may be their unit: `$25^\circ$C`
const RANGE_AFTER = /^[-–—]\d[\d.,]*\$/; // in `$6, 5$-6$`, where a number is before
const LONGEST = 16; // characters that these look at
// Of two numbers alone, a dash of texts, a word or a decimal comma tells prices (`$5,50-6,50$`) from a difference.
const PRICES = /^\d[\d.,]*[kKmM]?(?:\s*[–—]\s*|\s+(?:to|and|or|bis|und|oder|à|a|et|ou|y|o)\s+)\d[\d.,]*[kKmM]?$/;
const PRICES_WITH_COMMA = /^\d[\d.]*,\d+\s*[-/]\s*\d[\d.]*,\d+$/;

// As in Pandoc, no space is inside the dollars, and the next $ has to be the second.
function endOfDollar(source, start) {
  const before = source.slice(Math.max(0, start - 1 - LONGEST), start - 1);
  if (TEXT_BEFORE.test(before) || /[\s#?@!;]/.test(source[start] ?? " ")) return -1; // $#, $? and $@ are a shell's
  for (let i = start; i < source.length; i++) {
    if (source[i] === "\\") i++;
    else if (source[i] === "$") return isEnd(source, start, i) ? i : -1;
  }
  return -1;
}

function isEnd(source, start, end) {
  const before = source[end - 1];
  const after = source.slice(end + 1, end + 1 + LONGEST);
  const isCommand = source[start] === "(" && after.startsWith("("); // $(pwd)/$(date)
  const isRange = /\d/.test(before) && RANGE_AFTER.test(after);
  const content = source.slice(start, end);
  const isMoney = isRange || PRICES.test(content) || PRICES_WITH_COMMA.test(content);
  const isText = TEXT_AFTER.test(after) && !DEGREES.test(content);
  return !isCommand && !isMoney && !/\s/.test(before) && !isText;
}

// `$$` is a shell's process id, too: `echo $$ > pid; kill $$`. Of what stands between two, words are no formula, and
// neither is what holds a lone dollar.
const SIGN = /[\\^_={}]/;
const IDENTIFIER = /[A-Za-z]{2,}(?:_[A-Za-z]{2,})+/g;
const WORD = /[A-Za-z]{3,}|[\u2e80-\uffef]/;
const SHORT_WORD = /[A-Za-z]{2,}/; // in `$$ or $$`; `$$xy$$` is a product
const ONLY_IN_TEXT = /^\s*(?:[;,)&]|\.(?!\d))|[_^]\s*$|`|(?<!\\)\$(?!.*\})/s;

function isProse(content) {
  if (ONLY_IN_TEXT.test(content)) return true;
  const words = content.replace(IDENTIFIER, "name");
  if (SIGN.test(words)) return false;
  const isLoose = /^\s/.test(content) && /\s$/.test(content);
  return WORD.test(words) || (isLoose && SHORT_WORD.test(words)) || !/[^\s!-/:-@[-`{-~]/.test(words);
}

const openingAt = (source, position) => Object.keys(OPENINGS).find((opening) => source.startsWith(opening, position));

// Remembers in the state what has no end, so that many openings without one don't take long.
function endOf(state, markup, start) {
  state.openMaths ??= new Set();
  if (state.openMaths.has(markup)) return -1;
  const end = state.src.indexOf(OPENINGS[markup], start);
  if (end < 0) state.openMaths.add(markup);
  return end;
}

function inline(state, silent) {
  const markup = openingAt(state.src, state.pos);
  if (!markup) return false;
  const start = state.pos + markup.length;
  const end = markup === "$" ? endOfDollar(state.src, start) : endOf(state, markup, start);
  if (end < 0 || !state.src.slice(start, end).trim()) return false;
  if (markup === "$$" && isProse(state.src.slice(start, end))) return pushText(state, markup, silent);
  if (!silent) push(state, "math_inline", markup, state.src.slice(start, end));
  state.pos = end + OPENINGS[markup].length;
  return true;
}

function pushText(state, text, silent) {
  if (!silent) state.pending += text;
  state.pos += text.length;
  return true;
}

function push(state, type, markup, content) {
  const token = state.push(type, "", 0);
  Object.assign(token, { markup, content });
  return token;
}

// Display maths that has its lines for itself. While an answer streams, it may lack its end.
function block(state, startLine, endLine, silent) {
  const lineAt = (line) => state.src.slice(state.bMarks[line] + state.tShift[line], state.eMarks[line]);
  if (state.sCount[startLine] - state.blkIndent >= 4) return false;
  const markup = ["$$", "\\["].find((opening) => lineAt(startLine).startsWith(opening));
  if (!markup) return false;
  const lines = [];
  for (let line = startLine; line < endLine && !state.isEmpty(line) && state.sCount[line] >= state.blkIndent; line++) {
    lines.push(line === startLine ? lineAt(line).slice(markup.length) : lineAt(line));
    const end = lines.at(-1).indexOf(OPENINGS[markup]);
    if (end < 0) continue;
    if (
      lines
        .at(-1)
        .slice(end + markup.length)
        .trim()
    )
      return false;
    lines[lines.length - 1] = lines.at(-1).slice(0, end);
    return !isText(markup, lines) && pushBlock(state, startLine, line + 1, markup, lines, silent);
  }
  const streams = state.env.streaming && startLine + lines.length === state.lineMax;
  return streams && !isText(markup, lines) && pushBlock(state, startLine, state.lineMax, markup, lines, silent);
}

// Where the dollars don't have the first line for themselves, the lines may be text.
const isText = (markup, lines) => markup === "$$" && lines[0].trim() !== "" && isProse(lines.join("\n"));

function pushBlock(state, startLine, nextLine, markup, lines, silent) {
  const content = lines.join("\n").trim();
  if (!content && !state.env.streaming) return false;
  if (silent) return true;
  state.line = nextLine;
  Object.assign(push(state, "math_block", markup, content), { block: true, map: [startLine, nextLine] });
  return true;
}

// The source is what is seen until KaTeX is there, and where it finds a mistake.
function render(md, { content, markup, type }) {
  const { escapeHtml } = md.utils;
  const display = markup === "$$" || markup === "\\[" ? " display" : "";
  const tag = type === "math_block" ? "div" : "span";
  const source = escapeHtml(markup + content + OPENINGS[markup]);
  return `<${tag} class="math${display}">${source}</${tag}>`;
}

/**
 * Adds formulas to Markdown: `md.use(mathsPlugin)`.
 *
 * @param {any} md of markdown-it
 */
export function mathsPlugin(md) {
  md.inline.ruler.before("escape", "math_inline", inline);
  md.block.ruler.before("fence", "math_block", block, { alt: ["paragraph", "reference", "blockquote", "list"] });
  for (const type of ["math_inline", "math_block"])
    md.renderer.rules[type] = (tokens, index) => render(md, tokens[index]);
}

/**
 * Notes the TeX of each formula on its element, from its text. The purifier would take an attribute for an address
 * (`f:X`) or for HTML (`]>`), and drop it.
 *
 * @param {DocumentFragment} fragment that is purified
 */
export function markFormulas(fragment) {
  /** @type {NodeListOf<HTMLElement>} */
  const nodes = fragment.querySelectorAll(".math");
  for (const node of nodes) {
    const source = node.textContent ?? "";
    const markup = /** @type {string} */ (openingAt(source, 0));
    node.dataset.markup = markup;
    node.dataset.tex = source.slice(markup.length, -OPENINGS[markup].length);
  }
}

/**
 * The source of a formula, as it was written.
 *
 * @param {HTMLElement} node
 * @returns {string}
 */
export function sourceOf({ dataset: { markup = "$", tex = "" } }) {
  return markup + tex + OPENINGS[markup];
}

const CACHED = 500;
const typeset = new Map(); // the source of a formula → its nodes, or null if KaTeX does not understand it
let katex;

const isTooDeep = (error) => error instanceof RangeError || error.name === "InternalError"; // the latter in Firefox

function formula(tex, displayMode) {
  const key = `${displayMode} ${tex}`;
  if (!typeset.has(key)) {
    const span = document.createElement("span");
    try {
      katex.render(tex, span, { displayMode, trust: false, strict: "ignore", maxSize: 20, maxExpand: 200 });
      typeset.set(key, span);
    } catch (error) {
      typeset.set(key, null);
      if (!(error instanceof katex.ParseError || isTooDeep(error))) reportError(error); // the others are still typeset
    }
    if (typeset.size > CACHED) typeset.delete(typeset.keys().next().value);
  }
  return typeset.get(key)?.cloneNode(true);
}

/**
 * Typesets the formulas below a node, or the node itself: at once if KaTeX is loaded, otherwise as soon as it is.
 *
 * @param {HTMLElement} root
 */
export async function typesetMaths(root) {
  /** @type {NodeListOf<HTMLElement>} */
  const inside = root.querySelectorAll(".math");
  const waiting = [root, ...inside].filter((node) => node.matches(".math:not(.done)"));
  if (waiting.length === 0) return;
  if (!katex) katex = await libraries.katex();
  for (const node of waiting) {
    const nodes = formula(node.dataset.tex, node.classList.contains("display"));
    node.classList.add("done");
    if (nodes) node.replaceChildren(...nodes.childNodes);
  }
}
