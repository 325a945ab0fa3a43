// Asks which folder of the list conversations go to.

import { make, text } from "../common/dom.js";

/**
 * @param {string[]} known the folders that there are
 * @param {string} current
 * @returns {Promise<string | null>} "": no folder; null: nothing was chosen
 */
export function askFolder(known, current) {
  const input = make("input", {
    type: "text",
    id: "folder-name",
    list: "folder-names",
    value: current,
    maxlength: 60,
    autocomplete: "off",
  });
  const dialog = make(
    "dialog",
    { class: "ask", "aria-labelledby": "folder-title" },
    make(
      "form",
      { method: "dialog" },
      make("h2", { id: "folder-title" }, text("move")),
      make("label", { for: "folder-name" }, text("folder_name")),
      input,
      make(
        "datalist",
        { id: "folder-names" },
        known.map((name) => make("option", { value: name })),
      ),
      make(
        "div",
        { class: "row" },
        make("button", { type: "button", class: "text-button", onclick: () => dialog.close() }, text("cancel")),
        make("button", { class: "primary", value: "move" }, text("move_here")),
      ),
    ),
  );
  document.querySelector("#chat-page")?.append(dialog);
  dialog.showModal();
  input.select();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue === "move" ? input.value.trim() : null);
    });
  });
}
