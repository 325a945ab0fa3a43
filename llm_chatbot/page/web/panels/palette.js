// One box for everything: conversations, actions, presets and models, by a few letters of their names.

import { make, text } from "../common/dom.js";
import { onKey } from "../common/keys.js";
import { fold } from "./search.js";

const SHOWN = 12; // at most

/**
 * @typedef {object} Command
 * @property {string} kind the key of a text
 * @property {string} name
 * @property {() => unknown} act
 *
 * @param {() => Promise<Command[]>} commands those that there are when it is opened
 */
export function paletteView(commands) {
  const input = make("input", { type: "search", autocomplete: "off", oninput: draw });
  const list = make("ul");
  const element = make("dialog", { class: "palette" }, input, list);
  /** @type {Command[]} */
  let all = [];

  /** @type {Promise<unknown>} */
  let read = Promise.resolve();

  // At once, so that no key is lost while the conversations are read.
  function show() {
    if (element.open) return;
    all = [];
    input.value = "";
    input.placeholder = text("palette");
    input.setAttribute("aria-label", text("palette"));
    element.setAttribute("aria-label", text("palette"));
    list.replaceChildren();
    element.showModal();
    input.focus();
    read = commands().then((found) => {
      all = found;
      draw();
    });
  }

  async function choose() {
    await read;
    list.querySelector("button")?.click();
  }

  function draw() {
    const words = fold(input.value).folded.split(/\s+/).filter(Boolean);
    const found = all.filter(({ kind, name }) => {
      const { folded } = fold(`${name} ${text(kind)}`);
      return words.every((word) => folded.includes(word));
    });
    list.replaceChildren(...found.slice(0, SHOWN).map(row));
    if (all.length && found.length === 0) list.append(make("li", { class: "hint" }, text("nothing_found")));
  }

  /** @param {Command} command */
  const row = ({ kind, name, act }) =>
    make(
      "li",
      {},
      make(
        "button",
        {
          type: "button",
          onclick: () => {
            element.close();
            act();
          },
        },
        make("span", { dir: "auto" }, name),
        make("small", {}, text(kind)),
      ),
    );

  onKey(element, (event) => {
    const stops = [input, ...list.querySelectorAll("button")];
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) {
      const at = stops.indexOf(/** @type {HTMLInputElement} */ (document.activeElement));
      stops[(at + step + stops.length) % stops.length]?.focus();
    } else if (event.key === "Enter" && event.target === input) choose();
    else return;
    event.preventDefault();
  });
  element.addEventListener("click", ({ target }) => target === element && element.close()); // beside it
  return { element, show };
}
