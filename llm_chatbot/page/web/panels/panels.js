// The head of the page with its buttons, and the panels at its sides.

import { below, icon, iconButton, make, text } from "../common/dom.js";
import { ICONS } from "../common/icons.js";

const OPEN = "llm-chatbot.panels"; // in localStorage: which panels were left open
const WIDE = window.matchMedia("(min-width: 1200px)"); // room for the list beside the conversation
const PHONE = window.matchMedia("(max-width: 640px)");

/**
 * @param {object} options
 * @param {{ element: HTMLElement }} options.header
 * @param {{ element: HTMLElement }} options.library
 * @param {{ element: HTMLElement }} options.settings
 * @param {() => void} options.begin starts a new conversation
 */
export function addPanels({ header, library, settings, begin }) {
  const kept = JSON.parse(localStorage.getItem(OPEN) ?? "{}");
  const left = panel("library-panel", library.element);
  const right = panel("settings-panel", settings.element);
  const toggles = {
    left: iconButton(ICONS.list, "", () => toggle("left")),
    right: iconButton(ICONS.settings, "", () => toggle("right")),
  };
  const create = make("button", { type: "button", id: "new", onclick: beginHere }, icon(ICONS.plus), make("span"));
  const head = make("header", {}, toggles.left, header.element, create, toggles.right);
  const sides = { left, right };

  function panel(id, ...content) {
    const title = make("h2", { id: `${id}-title` });
    return make("aside", { id, class: "panel", "aria-labelledby": `${id}-title` }, title, ...content);
  }

  function show(side, isOpen) {
    sides[side].classList.toggle("open", isOpen);
    sides[side].inert = !isOpen;
    toggles[side].setAttribute("aria-expanded", String(isOpen));
  }

  function toggle(side, isOpen = !sides[side].classList.contains("open")) {
    show(side, isOpen);
    if (PHONE.matches) return; // there, panels cover the conversation
    kept[side] = isOpen;
    localStorage.setItem(OPEN, JSON.stringify(kept));
  }

  function beginHere() {
    begin();
    closeOnPhone();
  }

  // On a phone, a panel covers the conversation.
  function closeOnPhone() {
    if (PHONE.matches) ["left", "right"].forEach((side) => show(side, false));
  }

  function draw() {
    for (const [side, key] of [
      ["left", "conversations"],
      ["right", "settings"],
    ]) {
      below(sides[side], "h2").textContent = text(key);
      toggles[side].setAttribute("aria-label", text(key));
      toggles[side].title = text(key);
    }
    create.setAttribute("aria-label", text("new_conversation"));
    create.title = text("new_conversation");
    below(create, "span").textContent = text("new");
  }

  PHONE.addEventListener("change", closeOnPhone);
  show("left", !PHONE.matches && (kept.left ?? WIDE.matches));
  show("right", !PHONE.matches && (kept.right ?? false));
  return { left, right, head, draw, toggle, closeOnPhone };
}
