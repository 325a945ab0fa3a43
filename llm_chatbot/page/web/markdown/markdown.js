// Shows messages, also while they grow.

import { below, make } from "../common/dom.js";
import { codeBlock, highlightCode, updateCode } from "./code.js";
import { elements, parse } from "./markup.js";
import { typesetMaths } from "./maths.js";
import "./selection.js";

const LABELS = {
  copy: "Copy",
  copied: "Copied",
  copyCode: "Copy code",
  table: "Table",
  wrap: "Wrap lines",
  numbers: "Line numbers",
  download: "Download",
  preview: "Preview",
};

/**
 * A message as a fragment of its own.
 *
 * @param {string} text
 * @param {RenderOptions} [options]
 */
export function render(text, options) {
  const element = document.createElement("div");
  renderInto(element, text, options);
  const fragment = document.createDocumentFragment();
  fragment.append(...element.childNodes);
  return fragment;
}

/**
 * The blocks that `renderInto` put into an element, each with the lines of the text that it was drawn from.
 *
 * @param {HTMLElement} element
 * @returns {{ node: HTMLElement; from: number; to: number }[]} to: the line after its last
 */
export function blocksIn(element) {
  const { blocks = [] } = states.get(element) ?? {};
  return blocks.map(({ node, tokens }) => ({ node, from: tokens[0].map[0], to: tokens[0].map[1] }));
}

const states = new WeakMap(); // an element → what `renderInto` put there
const SHARE = 1 / 30; // of the time may go into a message that grows; painting, which isn't measured, comes on top
const LATEST = 2000; // milliseconds until more of it is shown, however long that takes: it would seem to hang

/**
 * Shows a message in an element, which is left to this function alone. Called again with more of the same message, it
 * changes only the blocks that changed, so that a selection, a focused button and the place in a wide table stay. A
 * growing message is shown late where showing it takes long.
 *
 * @typedef {typeof LABELS} Labels in the language of the page
 * @typedef {object} RenderOptions
 * @property {boolean} [streaming] the text is still growing; what is open at its end is shown as if it were closed
 * @property {Labels} [labels]
 * @property {boolean} [isPlain] formulas and code stay as they were written
 * @property {() => void} [before] called before the element is changed
 * @property {() => void} [after] called when it was
 *
 * @param {HTMLElement} element
 * @param {string} text
 * @param {RenderOptions} [options]
 */
export function renderInto(element, text, options = {}) {
  const { streaming = false, labels = LABELS, isPlain = false } = options;
  const before = states.get(element);
  const started = performance.now();
  clearTimeout(before?.timer);
  if (streaming && before && started < before.rested) {
    before.timer = setTimeout(() => renderInto(element, text, options), before.rested - started);
    return;
  }
  options.before?.();
  const state = show(element, text, before, { streaming, labels, isPlain });
  states.set(element, state);
  options.after?.();
  if (streaming) element.getBoundingClientRect(); // so that the layout counts too
  const ended = performance.now();
  states.set(element, { ...state, rested: ended + Math.min((ended - started) / SHARE, LATEST) });
}

function show(element, text, before, { streaming, labels, isPlain }) {
  const env = {};
  const source = text.replace(/\r\n?/g, "\n").replaceAll("\0", "\uFFFD");
  const shown = streaming ? withoutHalfFence(source.trimEnd()) : source;
  const blocks = blocksOf(shown, parse(shown, env, streaming));
  const context = JSON.stringify([env.references ?? {}, labels]);
  const changed = update(element, before?.context === context ? before.blocks : [], blocks, { env, labels });
  // The block before the first changed one may have been growing until now.
  for (const { node } of isPlain ? [] : blocks.slice(Math.max(0, changed - 1))) {
    typesetMaths(node);
    highlightCode(node, streaming && node === element.lastChild);
  }
  return { context, blocks };
}

// A closing fence of which only a part has arrived.
const withoutHalfFence = (text) => text.replace(/\n[ \t]*(`{1,2}|~{1,2})$/, "\n");

// The tokens by blocks. A block is {kind, shell, source, tokens}: two blocks of one kind and shell differ only in what
// is inside, and two with the same source do not differ. A list has `items`, which are blocks too, and so has a table
// its rows, so that a long one can grow by them.
function blocksOf(text, tokens) {
  const lines = text.split("\n");
  return groups(tokens, 0).map((group) => {
    const [first] = group;
    const block = { kind: "other", source: sourceOf(group, lines), tokens: group };
    if (first.type === "fence") return { ...block, kind: "code", shell: first.info.trim().split(/\s+/)[0] };
    if (first.type === "table_open") return tableOf(block, lines);
    if (!/^(bullet|ordered)_list_open$/.test(first.type)) return block;
    const isLoose = group.some((token) => token.type === "paragraph_open" && token.level === 2 && !token.hidden);
    const items = groups(group.slice(1, -1), 1).map((item) => ({
      kind: "other",
      source: `${isLoose} ${sourceOf(item, lines)}`,
      tokens: item,
      parent: first,
    }));
    return { ...block, kind: "list", shell: `${first.tag} ${first.attrGet("start")}`, items };
  });
}

function tableOf(block, lines) {
  const [{ map }] = block.tokens;
  const start = block.tokens.findIndex(({ type }) => type === "tbody_open");
  if (start < 0) return block;
  const items = groups(block.tokens.slice(start + 1, -2), 2).map((tokens) => ({
    source: sourceOf(tokens, lines),
    tokens,
  }));
  return { ...block, kind: "table", shell: lines.slice(map[0], map[0] + 2).join("\n"), items };
}

// What was completed is drawn again as soon as it needs no completion.
function sourceOf(group, lines) {
  const [first] = group;
  const isCompleted = group.some(({ meta }) => meta?.isCompleted);
  return `${isCompleted} ${first.type} ${lines.slice(...first.map).join("\n")}`;
}

// Tokens of one level with all that is inside them.
function groups(tokens, level) {
  const found = [];
  for (const token of tokens)
    if (token.level === level && token.nesting >= 0) found.push([token]);
    else found.at(-1).push(token);
  return found;
}

function commonStart(before, blocks) {
  let same = 0;
  while (same < Math.min(before.length, blocks.length) && before[same].source === blocks[same].source) same++;
  return same;
}

// Shows `blocks` in the place of `before`, and returns the index of the first that changed.
function update(parent, before, blocks, context) {
  const same = commonStart(before, blocks);
  blocks.forEach((block, index) => {
    const old = before[index];
    if (index < same) Object.assign(block, { node: old.node, items: old.items });
    else if (index === same && old?.kind === block.kind && old.shell === block.shell && block.kind !== "other")
      grow(old, block, context);
    else create(block, context);
  });
  const wanted = new Set(blocks.map(({ node }) => node));
  for (const node of [...parent.childNodes]) if (!wanted.has(node)) node.remove();
  parent.append(...blocks.slice(parent.childNodes.length).map(({ node }) => node));
  return same;
}

function create(block, context) {
  const [first] = block.tokens;
  if (block.kind === "code") block.node = codeBlock(first.content, block.shell, context.labels);
  else if (block.kind !== "list")
    [block.node] = elements(block.tokens, block.parent ?? null, context.env, context.labels);
  else {
    block.node = make(first.tag, /** @type {Record<string, any>} */ (Object.fromEntries(first.attrs ?? [])));
    update(block.node, [], block.items, context);
  }
  if (block.kind !== "code" && !block.parent) block.node.dir = "auto"; // a list and its items have one direction
}

function grow(old, block, context) {
  block.node = old.node;
  if (block.kind === "code") updateCode(block.node, block.tokens[0].content);
  else if (block.kind === "list") update(block.node, old.items, block.items, context);
  else growTable(old, block, context);
}

// The rows that changed are made in a table of their own, because the purifier drops rows without one.
function growTable(old, { node, tokens, items }, { env, labels }) {
  const same = commonStart(old.items, items);
  const body = node.querySelector("tbody");
  while (body.rows.length > same) body.lastChild.remove();
  const opening = [tokens[0], tokens.find(({ type }) => type === "tbody_open")];
  const rows = items.slice(same).flatMap((item) => item.tokens);
  const [table] = elements([...opening, ...rows, ...tokens.slice(-2)], null, env, labels);
  const [, ...made] = below(table, "tbody").childNodes; // without the line break before the first row
  body.append(...made);
}
