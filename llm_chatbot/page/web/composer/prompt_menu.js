// The prompts whose name is being typed after a slash, above the box.

import { make, text } from "../common/dom.js";
import { matching, PROMPTS, variablesOf } from "../store/prompts.js";

/** @import { Store } from "../store/store.js" */
/** @import { Prompt } from "../types" */

const ID = "prompt-menu";
const SHOWN = 8; // at most

/**
 * @param {object} options
 * @param {Pick<Store, "value" | "subscribe">} options.store
 * @param {HTMLTextAreaElement} options.box
 * @param {(content: string) => void} options.insert puts a text into the box
 */
export function promptMenu({ store, box, insert }) {
  const element = make("ul", { id: ID, class: "prompt-menu", role: "listbox", hidden: true });
  /** @type {Prompt[]} */
  let prompts = [];
  /** @type {Prompt[]} */
  let shown = [];
  let place = 0; // of the one that Enter takes
  let dropped = ""; // what was typed when Escape sent the menu away

  async function refresh() {
    prompts = (await store.value(PROMPTS)) ?? [];
  }

  const isOpen = () => !element.hidden;

  function draw() {
    const found = box.value === dropped ? null : matching(prompts, box.value);
    if (box.value !== dropped) dropped = "";
    shown = (found ?? []).slice(0, SHOWN);
    place = Math.max(0, Math.min(place, shown.length - 1));
    element.hidden = shown.length === 0;
    element.setAttribute("aria-label", text("prompts"));
    element.replaceChildren(...shown.map(option));
    if (isOpen()) box.setAttribute("aria-activedescendant", `${ID}-${place}`);
    else box.removeAttribute("aria-activedescendant");
  }

  /**
   * @param {Prompt} prompt
   * @param {number} index
   */
  function option(prompt, index) {
    const attributes = { id: `${ID}-${index}`, role: "option", "aria-selected": String(index === place) };
    // With the pointer down the box would lose the focus, and on a phone its keyboard.
    const onpointerdown = (event) => event.preventDefault();
    return make(
      "li",
      { ...attributes, dir: "auto", onpointerdown, onclick: () => take(prompt) },
      make("strong", {}, `/${prompt.name}`),
      make("span", {}, prompt.text.replace(/\s+/g, " ")),
    );
  }

  const filledByHand = async (prompt) => (await import("./prompt_form.js")).askVariables(prompt);

  /** @param {Prompt} prompt */
  async function take(prompt) {
    const content = variablesOf(prompt.text).length ? await filledByHand(prompt) : prompt.text;
    box.focus();
    if (content === null) return;
    insert(content);
    draw();
  }

  /**
   * To be asked first what a key does.
   *
   * @param {KeyboardEvent} event
   * @returns {boolean} whether it was for the menu
   */
  function takesKey(event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const isTaken = (event.key === "Enter" || event.key === "Tab") && !event.shiftKey;
    if (!isOpen() || !(step || isTaken || event.key === "Escape")) return false;
    event.preventDefault();
    event.stopPropagation();
    if (step) place = (place + step + shown.length) % shown.length;
    else if (isTaken) take(shown[place]);
    else dropped = box.value;
    draw();
    return true;
  }

  box.setAttribute("aria-autocomplete", "list");
  box.setAttribute("aria-controls", ID);
  box.addEventListener("blur", () => (element.hidden = true));
  store.subscribe(({ value }) => value === PROMPTS && refresh());
  refresh();
  return { element, draw, takesKey };
}
