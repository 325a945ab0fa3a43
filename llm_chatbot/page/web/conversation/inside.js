// "Look inside": an answer as its tokens, shaded by how likely the model found each, with the likeliest alternatives.

import { make, number, text } from "../common/dom.js";
import { onKey } from "../common/keys.js";

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

const percent = (probability) => `${number(100 * probability, probability < 0.1 ? 2 : 1)} %`;
const visible = (written) => written.replaceAll("\n", "↵").replaceAll("\t", "⇥").replace(/^ | $/g, "␣") || "∅";

/** @param {(begun: string) => void} goOn goes on from a text as a branch */
export function insideView(goOn) {
  const element = make("div", { class: "tokens", role: "group" });
  const start = make("span");
  /** @type {HTMLElement | null} */
  let open = null;
  /** @type {string[]} */
  let shown = [];
  element.append(start);

  /**
   * @param {Message} message
   * @param {boolean} canBranch
   */
  function draw({ content, begun = "", tokens = [] }, canBranch) {
    close();
    element.setAttribute("aria-label", text("look_inside"));
    const parts = pieces(content, begun, tokens);
    const same = commonStart(shown, parts);
    [...element.childNodes].slice(same + 1).forEach((node) => node.remove());
    start.textContent = begun;
    let written = begun.length + parts.slice(0, same).join("").length;
    for (let index = same; index < parts.length; index++) {
      element.append(piece(tokens[index], parts[index], content.slice(0, written), canBranch, index));
      written += parts[index].length;
    }
    shown = canBranch ? parts : []; // the buttons of a growing answer are made anew at its end
  }

  function commonStart(before, after) {
    let same = 0;
    while (same < before.length && before[same] === after[same]) same++;
    return same;
  }

  function piece(token, written, before, canBranch, index) {
    const [, probability] = token;
    const label = `${visible(written)}, ${percent(probability)}`;
    const span = make(
      "span",
      { role: "button", tabindex: index ? -1 : 0, class: "token", title: percent(probability), "aria-label": label },
      written,
    );
    span.style.setProperty("--doubt", `${Math.round(60 * (1 - probability))}%`);
    const show = () => canBranch && showAlternatives(span, token, before);
    span.addEventListener("click", show);
    onKey(span, (event) => {
      const next = { ArrowRight: span.nextElementSibling, ArrowLeft: span.previousElementSibling }[event.key];
      if (next?.classList.contains("token")) next.focus();
      else if (event.key === "Enter" || event.key === " ") show();
      else return;
      event.preventDefault();
    });
    return span;
  }

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
