// What opens below a button and closes with Escape, a click elsewhere or a choice.

import { make } from "./dom.js";
import { onKey } from "./keys.js";

/** @import { Child } from "../types" */

const MARGIN = { top: 60, bottom: 90, side: 10 }; // pixels: the head, the box, the edges

/**
 * Makes a button open a popup, which is drawn anew each time.
 *
 * @param {HTMLButtonElement} button
 * @param {object} options
 * @param {string} [options.class]
 * @param {() => string} options.label
 * @param {(close: () => void) => Child[]} options.content of the popup
 * @param {() => void} [options.closed]
 */
export function addPopup(button, { class: own = "", label, content, closed = () => {} }) {
  const element = make("div", { class: `popup ${own}`, role: "dialog", hidden: true });
  button.setAttribute("aria-haspopup", "dialog");
  button.setAttribute("aria-expanded", "false");

  /** @param {boolean} [keepsFocus] the focus goes elsewhere */
  function close(keepsFocus = false) {
    if (element.hidden) return;
    element.hidden = true;
    element.replaceChildren();
    button.setAttribute("aria-expanded", "false");
    document.removeEventListener("pointerdown", outside, true);
    if (!keepsFocus) button.focus();
    closed();
  }

  function draw() {
    element.setAttribute("aria-label", label());
    element.replaceChildren(.../** @type {Node[]} */ (content(() => close()).filter(Boolean)));
    if (!element.hidden && !element.classList.contains("above")) putInSight(); // it may have grown
  }

  // Above the button where there is no room below it, and inside the window.
  function putInSight() {
    element.style.removeProperty("translate");
    element.classList.remove("above");
    const { bottom, height } = element.getBoundingClientRect();
    const top = button.getBoundingClientRect().top;
    element.classList.toggle("above", bottom > window.innerHeight - MARGIN.bottom && top - height > MARGIN.top);
    const { left, right } = element.getBoundingClientRect();
    const shift = Math.max(MARGIN.side - left, Math.min(0, window.innerWidth - MARGIN.side - right));
    if (shift) element.style.translate = `${shift}px`;
  }

  function open() {
    draw();
    element.hidden = false;
    button.setAttribute("aria-expanded", "true");
    document.addEventListener("pointerdown", outside, true);
    putInSight();
    /** @type {HTMLElement | null} */
    const first = element.querySelector("[data-first], input, button, select, a, textarea");
    first?.focus();
  }

  const outside = ({ target }) => !element.contains(target) && !button.contains(target) && close(true);

  button.addEventListener("click", () => (element.hidden ? open() : close()));
  onKey(element, (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (event.key === "Escape") close();
    else if (step && !(event.target instanceof HTMLSelectElement)) move(step);
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
  // The Tab key leads out of it, and then it is in the way.
  element.addEventListener("focusout", ({ relatedTarget }) => {
    if (relatedTarget instanceof Node && !element.contains(relatedTarget) && relatedTarget !== button) close(true);
  });

  function move(step) {
    /** @type {NodeListOf<HTMLElement>} */
    const all = element.querySelectorAll("input:not([type=file]), button, select, a");
    const stops = [...all].filter((stop) => stop.offsetParent !== null);
    const at = stops.indexOf(/** @type {HTMLElement} */ (document.activeElement));
    stops[(at + step + stops.length) % stops.length]?.focus();
  }

  return { element, open, close, draw, isOpen: () => !element.hidden };
}

/**
 * A button that opens a menu of actions below it.
 *
 * @param {HTMLButtonElement} button
 * @param {() => string} label
 * @param {() => ({ name: string; act: () => unknown; icon?: Node; danger?: boolean } | false | null | undefined)[]} items
 */
export function menuOf(button, label, items) {
  const popup = addPopup(button, {
    class: "menu",
    label,
    content: (close) =>
      items()
        .filter((item) => item !== false && item !== null && item !== undefined)
        .map(({ name, act, icon, danger }) =>
          make(
            "button",
            {
              type: "button",
              class: danger ? "danger" : null,
              onclick: () => {
                close();
                act();
              },
            },
            icon,
            name,
          ),
        ),
  });
  return make("div", { class: "menu-place" }, button, popup.element);
}
