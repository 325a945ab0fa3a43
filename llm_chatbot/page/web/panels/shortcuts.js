// Keyboard shortcuts, and the list of them under "?".

import { make, text } from "../common/dom.js";
import { onKey } from "../common/keys.js";

const isMac = /Mac|iPhone|iPad/.test(navigator.platform);
const MODIFIER = isMac ? "⌘" : "Ctrl";

/** @param {Record<"begin" | "palette" | "find" | "list" | "settings" | "box" | "stop" | "editLast", () => void>} actions */
export function addShortcuts(actions) {
  const shortcuts = [
    { keys: [MODIFIER, "Shift", "O"], name: "new_conversation", act: actions.begin },
    { keys: [MODIFIER, "K"], name: "palette", act: actions.palette },
    { keys: [MODIFIER, "Shift", "F"], name: "search", act: actions.find },
    { keys: [MODIFIER, "Shift", "L"], name: "conversations", act: actions.list },
    { keys: [MODIFIER, ","], name: "settings", act: actions.settings },
    { keys: ["/"], name: "write", act: actions.box, outsideText: true },
    { keys: ["Esc"], name: "stop", act: actions.stop, passes: true },
    { keys: ["↑"], name: "edit_last", act: actions.editLast, inEmptyBox: true },
    { keys: ["?"], name: "shortcuts", act: show, outsideText: true },
  ];
  const fixed = [
    { keys: ["Enter"], name: "send" },
    { keys: ["Shift", "Enter"], name: "new_line" },
  ];
  const dialog = make("dialog", { class: "shortcuts", "aria-labelledby": "shortcuts-title" });

  const pressed = (event, { keys }) => {
    const key = { Escape: "Esc", ArrowUp: "↑" }[event.key] ?? event.key;
    const wanted = keys.at(-1);
    return (
      key.toUpperCase() === wanted.toUpperCase() &&
      (event.ctrlKey || event.metaKey) === keys.includes(MODIFIER) &&
      !event.altKey &&
      (event.shiftKey === keys.includes("Shift") || wanted === "?" || wanted === "/")
    );
  };

  onKey(document, (event) => {
    if (document.querySelector("dialog[open]")) return;
    const target = event.target instanceof HTMLElement ? event.target : null;
    const isText = target?.closest(
      "input:not([type=range], [type=radio], [type=checkbox]), textarea, select, [contenteditable]",
    );
    const isEmptyBox = target instanceof HTMLTextAreaElement && target.matches("#message textarea") && !target.value;
    const shortcut = shortcuts.find((candidate) => pressed(event, candidate));
    if (!shortcut || (shortcut.outsideText && isText) || (shortcut.inEmptyBox && !isEmptyBox)) return;
    if (!shortcut.passes) event.preventDefault();
    shortcut.act();
  });

  function show() {
    const row = ({ keys, name }) =>
      make(
        "tr",
        {},
        make(
          "td",
          {},
          keys.map((key) => make("kbd", {}, key)),
        ),
        make("td", {}, text(name)),
      );
    dialog.replaceChildren(
      make("h2", { id: "shortcuts-title" }, text("shortcuts")),
      make("table", {}, make("tbody", {}, [...fixed, ...shortcuts].map(row))),
      make("form", { method: "dialog" }, make("button", { class: "primary" }, text("close"))),
    );
    dialog.showModal();
  }

  return { element: dialog, show };
}
