// The library of prompts: a dialog to write, change and delete them.

import { iconButton, make, text } from "../common/dom.js";
import { ICONS } from "../common/icons.js";
import { PROMPTS, promptName, withPrompt } from "../store/prompts.js";
import { newId } from "../store/store.js";

/** @import { Store } from "../store/store.js" */
/** @import { Prompt } from "../types" */

/**
 * Opens it, over the page.
 *
 * @param {Pick<Store, "value" | "putValue">} store
 */
export async function showPrompts(store) {
  const list = make("ul", { class: "prompts" });
  const name = make("input", { type: "text", id: "prompt-name", maxlength: 40, autocomplete: "off", dir: "auto" });
  const content = make("textarea", { id: "prompt-text", rows: 5, dir: "auto", "aria-describedby": "prompt-info" });
  const save = make("button", { class: "primary" }, text("save"));
  const form = make(
    "form",
    { onsubmit: keep },
    make("label", { for: name.id }, text("prompt_name")),
    name,
    make("label", { for: content.id }, text("prompt_text")),
    content,
    make("p", { class: "hint", id: "prompt-info" }, text("prompts_info")),
    make(
      "div",
      { class: "row" },
      make("button", { type: "button", class: "text-button", onclick: () => dialog.close() }, text("close")),
      save,
    ),
  );
  const dialog = make(
    "dialog",
    { class: "ask prompt-library", "aria-labelledby": "prompts-title" },
    make("h2", { id: "prompts-title" }, text("prompts")),
    list,
    form,
  );
  /** @type {Prompt | null} */
  let changed = null; // the one that is in the form; null: a new one
  const read = async () => /** @type {Prompt[]} */ ((await store.value(PROMPTS)) ?? []);

  async function draw() {
    const prompts = await read();
    list.hidden = prompts.length === 0;
    list.replaceChildren(...prompts.map(row));
  }

  /** @param {Prompt} prompt */
  const row = (prompt) =>
    make(
      "li",
      {},
      make(
        "button",
        { type: "button", class: "prompt", dir: "auto", onclick: () => edit(prompt) },
        make("strong", {}, `/${prompt.name}`),
        make("span", {}, prompt.text.replace(/\s+/g, " ")),
      ),
      iconButton(ICONS.bin, text("prompt_delete", { name: prompt.name }), () => remove(prompt)),
    );

  /** @param {Prompt | null} prompt */
  function edit(prompt) {
    changed = prompt;
    name.value = prompt?.name ?? "";
    content.value = prompt?.text ?? "";
    (prompt ? content : name).focus();
  }

  async function keep(event) {
    event.preventDefault();
    const wanted = promptName(name.value);
    if (!wanted) return name.focus();
    if (!content.value.trim()) return content.focus();
    const prompt = { id: changed?.id ?? newId(), name: wanted, text: content.value, updated: Date.now() };
    await store.putValue(PROMPTS, withPrompt(await read(), prompt));
    edit(null);
    await draw();
  }

  async function remove({ id }) {
    await store.putValue(
      PROMPTS,
      (await read()).filter((prompt) => prompt.id !== id),
    );
    if (changed?.id === id) edit(null);
    await draw();
    name.focus();
  }

  await draw();
  document.querySelector("#chat-page")?.append(dialog);
  dialog.addEventListener("close", () => dialog.remove());
  dialog.showModal();
  name.focus();
}
