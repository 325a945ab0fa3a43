// The head of the page with its buttons, and the panels at its sides.

import { below, icon, iconButton, make, text } from "../common/dom.js";
import { ICONS } from "../common/icons.js";
import { resizer } from "./resizer.js";

const OPEN = "llm-chatbot.panels"; // in localStorage: which panels were left open
const WIDTH = "llm-chatbot.list-width";
const WIDE = window.matchMedia("(min-width: 1200px)"); // room for the list beside the conversation
const PHONE = window.matchMedia("(max-width: 640px)");

/**
 * @param {object} options
 * @param {{ element: HTMLElement }} options.header
 * @param {{ element: HTMLElement; menu: HTMLElement }} options.library
 * @param {{ element: HTMLElement; hint: HTMLElement }} options.settings
 * @param {() => void} options.begin starts a new conversation
 */
export function addPanels({ header, library, settings, begin }) {
  const kept = JSON.parse(localStorage.getItem(OPEN) ?? "{}");
  const creates = [newButton(), newButton()];
  const left = panel("library-panel", [creates[0], library.menu], library.element);
  const right = panel("settings-panel", [settings.hint], settings.element);
  const edge = resizer(left, WIDTH);
  left.append(edge);
  const toggles = {
    left: iconButton(ICONS.list, "", () => toggle("left")),
    right: iconButton(ICONS.settings, "", () => toggle("right")),
  };
  creates[1].id = "new";
  const head = make(
    "header",
    {},
    make("div", { class: "start" }, toggles.left, creates[1]),
    header.element,
    make("div", { class: "end" }, toggles.right),
  );
  const sides = { left, right };

  function newButton() {
    return make("button", { type: "button", class: "new", onclick: beginHere }, icon(ICONS.plus), make("span"));
  }

  function panel(id, buttons, ...content) {
    const title = make("h2", { id: `${id}-title` });
    return make(
      "aside",
      { id, class: "panel", "aria-labelledby": `${id}-title` },
      make("div", { class: "panel-head" }, title, ...buttons),
      ...content,
    );
  }

  function show(side, isOpen) {
    sides[side].classList.toggle("open", isOpen);
    sides[side].inert = !isOpen;
    toggles[side].setAttribute("aria-expanded", String(isOpen));
  }

  function toggle(side, isOpen = !sides[side].classList.contains("open")) {
    show(side, isOpen);
    if (PHONE.matches) {
      if (isOpen) show(side === "left" ? "right" : "left", false); // there, panels cover the conversation
      return;
    }
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
    for (const create of creates) {
      create.setAttribute("aria-label", text("new_conversation"));
      create.title = text("new_conversation");
      below(create, "span").textContent = text("new");
    }
    edge.setAttribute("aria-label", text("list_width"));
  }

  PHONE.addEventListener("change", closeOnPhone);
  show("left", !PHONE.matches && (kept.left ?? WIDE.matches));
  show("right", !PHONE.matches && (kept.right ?? false));
  return { left, right, head, draw, toggle, closeOnPhone };
}
