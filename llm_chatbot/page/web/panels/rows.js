// The rows of the list of conversations: one stop of the Tab key each, and a menu with what can be done.

import { iconButton, make, text } from "../common/dom.js";
import { ICONS } from "../common/icons.js";
import { onKey } from "../common/keys.js";
import { menuOf } from "../common/popup.js";
import { nameOf } from "../conversation/name.js";

/** @import { WholeConversation } from "../types" */
/** @import { Place } from "./search.js" */

/**
 * Draws the row of a conversation.
 *
 * @typedef {Record<"pin" | "rename" | "move" | "archive" | "exportOne" | "remove",
 *   (conversation: WholeConversation, row: HTMLElement) => unknown>} RowActions
 *
 * @typedef {object} RowOptions
 * @property {boolean} isCurrent
 * @property {boolean} isAnswering
 * @property {boolean | null} chosen of several; null: none are chosen at the moment
 * @property {(id: string, chosen: boolean) => void} choose
 * @property {(message?: string | null) => void} open
 * @property {Place[]} places where something was found
 * @property {number} more places
 * @property {RowActions} actions
 *
 * @param {HTMLElement} element of the list
 * @param {WholeConversation} conversation
 * @param {RowOptions} options
 */
export function drawRow(
  element,
  conversation,
  { isCurrent, isAnswering, chosen, choose, open, places, more, actions },
) {
  const { id, pinned, archived } = conversation;
  const name = nameOf(conversation);
  const button = make(
    "button",
    {
      class: "open",
      type: "button",
      dir: "auto",
      title: name,
      "data-key": `open-${id}`,
      "aria-current": String(isCurrent),
      onclick: () => open(),
    },
    make("span", {}, name),
  );
  const item = (key, act, more = {}) => ({ name: text(key), act: () => act(conversation, row), ...more });
  const opener = iconButton(ICONS.dots, `${text("actions")}: ${name}`, undefined, {
    "data-key": `menu-${id}`,
    tabindex: -1, // the right arrow leads here
  });
  const menu = menuOf(
    opener,
    () => `${text("actions")}: ${name}`,
    () => [
      item(pinned ? "unpin" : "pin", actions.pin),
      item("rename", actions.rename),
      item("move", actions.move),
      item(archived ? "unarchive" : "archive", actions.archive),
      item("export_markdown", actions.exportOne),
      item("delete", actions.remove, { danger: true }),
    ],
  );
  const row = make(
    "div",
    { class: "row" },
    chosen !== null &&
      make("input", {
        type: "checkbox",
        checked: chosen,
        "aria-label": `${text("choose")}: ${name}`,
        onchange: (event) => choose(id, event.currentTarget.checked),
      }),
    button,
    isAnswering &&
      make("span", { class: "pulse", role: "img", "aria-label": text("answering") }, make("i"), make("i"), make("i")),
    menu,
  );
  onKey(row, (event) => {
    if (event.target instanceof HTMLInputElement) return;
    const act = keys(event, { button, opener, actions, conversation, row });
    if (!act) return;
    event.preventDefault();
    act();
  });
  element.replaceChildren(
    row,
    ...places.filter(({ message }) => message).map((place) => foundAt(place, open)),
    ...(more ? [make("p", { class: "hint" }, text("found_more", { count: more }))] : []),
  );
}

function keys(event, { button, opener, actions, conversation, row }) {
  const isInMenu = event.target instanceof Element && event.target.closest(".popup");
  if (isInMenu) return null;
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (step) return () => neighbour(button, step)?.focus();
  return {
    ArrowRight: () => opener.focus(),
    ArrowLeft: () => button.focus(),
    Delete: () => actions.remove(conversation, row),
    F2: () => actions.rename(conversation, row),
  }[event.key];
}

function neighbour(button, step) {
  /** @type {HTMLElement[]} */
  const all = [...(button.closest(".conversations")?.querySelectorAll(".open") ?? [])];
  const shown = all.filter((each) => each.offsetParent !== null);
  return shown[shown.indexOf(button) + step];
}

/**
 * @param {Place} place
 * @param {(message?: string | null) => void} open
 */
const foundAt = ({ message, file, before, match, after }, open) =>
  make(
    "button",
    { class: "found", type: "button", dir: "auto", onclick: () => open(message?.id) },
    file && make("b", {}, `${file}: `),
    before,
    make("mark", {}, match),
    after,
  );
