// "Look inside": an answer as its tokens, shaded by how likely the model found each, with the likeliest alternatives.

import { make, number, text } from "../common/dom.js";
import { onKey } from "../common/keys.js";
import { blocksIn, renderInto } from "../markdown/markdown.js";
import { unwrapTokens, wrapTokens } from "./token_spans.js";

/** @import { Labels } from "../markdown/markdown.js" */
/** @import { Message, Token } from "../types" */

/**
 * The part of the text that each token wrote. A character of several tokens belongs to the first of them.
 *
 * @param {string} content
 * @param {string} begun what the content begins with that no token wrote
 * @param {Token[]} tokens
 * @returns {string[]}
 */
export function pieces(content, begun, tokens) {
  let position = begun.length;
  return tokens.map(([written], index) => {
    let end = position + written.length;
    if (index === 0 && written.startsWith(" ") && !content.startsWith(written, position)) end -= 1;
    else if (written.includes("\uFFFD") || !content.startsWith(written, position))
      end = startOfNext(content, position, tokens.slice(index + 1));
    const piece = content.slice(position, end);
    position = Math.max(position, Math.min(end, content.length));
    return piece;
  });
}

function startOfNext(content, position, tokens) {
  const whole = tokens.findIndex(([written]) => written && !written.includes("\uFFFD"));
  const found = whole < 0 ? -1 : content.indexOf(tokens[whole][0], position);
  return found < 0 ? (tokens.length ? position : content.length) : found;
}

// Where each line begins.
function lineStarts(content) {
  const starts = [0];
  for (let at = content.indexOf("\n"); at >= 0; at = content.indexOf("\n", at + 1)) starts.push(at + 1);
  return starts;
}

const percent = (probability) => `${number(100 * probability, probability < 0.1 ? 2 : 1)} %`;
const visible = (written) => written.replaceAll("\n", "↵").replaceAll("\t", "⇥").replace(/^ | $/g, "␣") || "∅";

/**
 * @param {(begun: string) => void} goOn goes on from a text as a branch
 * @param {() => Labels} labels of the Markdown
 */
export function insideView(goOn, labels) {
  const element = make("div", { class: "tokens markdown", role: "group" });
  /** @type {HTMLElement | null} */
  let open = null;
  /** @type {{ tokens: Token[]; parts: string[]; begun: string; canBranch: boolean }} */
  let shown = { tokens: [], parts: [], begun: "", canBranch: false };
  let drawn = ""; // what is drawn, or is to be drawn soon
  /** @type {WeakSet<HTMLElement>} */
  const wrapped = new WeakSet(); // blocks whose tokens are in spans

  /**
   * @param {Message} message
   * @param {boolean} canBranch
   */
  function draw({ content, begun = "", tokens = [] }, canBranch) {
    element.setAttribute("aria-label", text("look_inside"));
    const parts = pieces(content, begun, tokens);
    shown = { tokens, parts, begun, canBranch };
    const written = begun + parts.join("");
    const state = JSON.stringify([canBranch, tokens.length, written]);
    if (state === drawn) return;
    close();
    drawn = state;
    let place = -1;
    const before = () => {
      place = Number(focusedToken()?.dataset.index ?? -1);
      // What grows, or whose end may have been completed, is drawn from its text.
      for (const node of [...element.children].slice(-2)) release(/** @type {HTMLElement} */ (node));
    };
    const after = () => {
      wrapAll(written);
      if (place >= 0) tokenAt(place)?.focus({ preventScroll: true });
    };
    renderInto(element, written, { streaming: !canBranch, labels: labels(), isPlain: true, before, after });
  }

  function release(node) {
    unwrapTokens(node);
    wrapped.delete(node);
  }

  /** @param {string} written */
  function wrapAll(written) {
    const owners = ownersIn(written);
    const starts = lineStarts(written);
    for (const { node, from, to } of blocksIn(element)) {
      if (wrapped.has(node)) continue;
      unwrapTokens(node); // a list keeps its first items
      const [start, end] = [starts[from], starts[to] ?? written.length];
      wrapTokens(node, written.slice(start, end), owners.slice(start, end), span);
      wrapped.add(node);
    }
    addAbsent();
    const first = element.querySelector(".token");
    if (first) first.setAttribute("tabindex", "0");
  }

  // Those that stand between two blocks, or wrote nothing, such as the end of the answer.
  function addAbsent() {
    /** @type {Map<number, Element>} */
    const there = new Map();
    for (const token of element.querySelectorAll(".token")) there.set(Number(token.getAttribute("data-index")), token);
    shown.parts.forEach((part, index) => {
      if (there.has(index)) return;
      const own = span(index, part, false);
      const before = there.get(index - 1);
      if (before) before.after(own);
      else (element.firstElementChild ?? element).prepend(own);
      there.set(index, own);
    });
  }

  // The index of the token of each character; -1: no token wrote it.
  function ownersIn(written) {
    const owners = new Array(shown.begun.length).fill(-1);
    shown.parts.forEach((part, index) => owners.push(...new Array(part.length).fill(index)));
    return owners.slice(0, written.length);
  }

  /**
   * @param {number} index
   * @param {string} piece
   * @param {boolean} isSeen
   */
  function span(index, piece, isSeen) {
    const [written, probability] = shown.tokens[index];
    const label = `${visible(written)}, ${percent(probability)}`;
    const own = make(
      "span",
      {
        ...{ role: "button", tabindex: -1, class: isSeen ? "token" : "token markup", "data-index": index },
        ...{ title: percent(probability), "aria-label": label },
      },
      isSeen ? piece : piece.replaceAll("\n", "↵"),
    );
    own.style.setProperty("--doubt", `${Math.round(60 * (1 - probability))}%`);
    return own;
  }

  /** @returns {HTMLElement | null} */
  const focusedToken = () => element.querySelector(".token:focus");
  /** @param {number} index @returns {HTMLElement | null} */
  const tokenAt = (index) => element.querySelector(`[data-index="${index}"]`);

  function show(target) {
    const token = target instanceof Element ? target.closest(".token") : null;
    if (!(token instanceof HTMLElement) || !shown.canBranch) return;
    const index = Number(token.dataset.index);
    showAlternatives(token, shown.tokens[index], shown.begun + shown.parts.slice(0, index).join(""));
  }

  element.addEventListener("click", ({ target }) => show(target));
  onKey(element, (event) => {
    const token = focusedToken();
    if (!token) return;
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (step) {
      const all = [...element.querySelectorAll(".token")];
      const next = all[all.indexOf(token) + step];
      if (next instanceof HTMLElement) next.focus();
    } else if (event.key === "Enter" || event.key === " ") show(token);
    else return;
    event.preventDefault();
  });

  function showAlternatives(span, [chosen, , top], before) {
    close();
    const choose = (written) => {
      close();
      goOn(before ? before + written : written.trimStart());
    };
    const choice = ([written, probability]) =>
      make(
        "button",
        { type: "button", "aria-current": String(written === chosen), onclick: () => choose(written) },
        make("code", {}, visible(written)),
        make("span", {}, percent(probability)),
      );
    const menu = make(
      "div",
      { class: "alternatives", role: "group", "aria-label": text("alternatives") },
      make("p", {}, text("alternatives")),
      top.map(choice),
    );
    open = menu;
    onKey(menu, (event) => {
      if (event.key !== "Escape") return;
      event.stopPropagation();
      close();
      span.focus();
    });
    element.after(menu);
    const place = span.getBoundingClientRect();
    const frame = /** @type {HTMLElement} */ (element.parentElement).getBoundingClientRect();
    menu.style.top = `${place.bottom - frame.top + 4}px`;
    menu.style.left = `${Math.max(0, Math.min(place.left - frame.left, frame.width - menu.offsetWidth))}px`;
    menu.querySelector("button")?.focus();
    menu.scrollIntoView({ block: "nearest" });
    document.addEventListener("pointerdown", outside);
  }

  const outside = (event) => open?.contains(event.target) || close();

  function close() {
    open?.remove();
    open = null;
    document.removeEventListener("pointerdown", outside);
  }

  return { element, draw };
}
