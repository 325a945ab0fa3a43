// Asks for the values of a prompt's variables.

import { make, text } from "../common/dom.js";
import { filled, variablesOf } from "../store/prompts.js";

/** @import { Prompt } from "../types" */

/**
 * @param {Prompt} prompt with variables
 * @returns {Promise<string | null>} its text with the values; null: it was left
 */
export function askVariables(prompt) {
  const fields = variablesOf(prompt.text).map(({ name, value }) => {
    const box = make("textarea", { rows: 1, dir: "auto", name });
    box.value = value;
    return { name, box, label: make("label", {}, make("span", {}, name), box) };
  });
  const dialog = make(
    "dialog",
    { class: "ask prompt-form", "aria-labelledby": "prompt-form-title" },
    make(
      "form",
      { method: "dialog" },
      make("h2", { id: "prompt-form-title" }, `/${prompt.name}`),
      fields.map(({ label }) => label),
      make(
        "div",
        { class: "row" },
        make("button", { type: "button", class: "text-button", onclick: () => dialog.close() }, text("cancel")),
        make("button", { class: "primary", value: "insert" }, text("prompt_insert")),
      ),
    ),
  );
  document.querySelector("#chat-page")?.append(dialog);
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      dialog.remove();
      const values = Object.fromEntries(fields.map(({ name, box }) => [name, box.value]));
      resolve(dialog.returnValue === "insert" ? filled(prompt.text, values) : null);
    });
  });
}
