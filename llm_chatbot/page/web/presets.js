// Presets: a system prompt and settings under a name, kept in this browser.
//
// A preset is {id, name, settings, updated}; `settings` are those of a conversation, with `system_prompt` among them.

import { make, text } from "./dom.js";
import { newId } from "./store.js";
import { isObject } from "./tree.js";

export const PRESETS = "presets"; // in the store of the page
const FORMAT = "llm-chatbot presets";

// A list with one preset more, or changed: one with the same name is replaced.
export function withPreset(presets, { id, name, settings, updated = Date.now() }) {
  const same = presets.find((preset) => preset.name === name);
  const preset = { id: same?.id ?? id, name, settings: { ...settings }, updated };
  return [...presets.filter((preset) => preset !== same), preset].sort((a, b) => a.name.localeCompare(b.name));
}

const withoutPreset = (presets, id) => presets.filter((preset) => preset.id !== id);

// The text of a file with all presets.
export const exported = (presets) => JSON.stringify({ format: FORMAT, version: 1, presets }, null, 2);

// The settings that a preset may have, {name: type}. numbers: those that the server describes.
export const knownSettings = (numbers) => ({
  system_prompt: "string",
  thinking: "boolean",
  effort: "string",
  thinking_budget: "number",
  probabilities: "boolean",
  ...Object.fromEntries(numbers.map(({ name }) => [name, "number"])),
});

// The presets in the text of a file.
export function imported(content, known) {
  let file;
  try {
    file = JSON.parse(content);
  } catch {
    return [];
  }
  return file?.format === FORMAT ? wellFormed(file.presets, known) : [];
}

// Of the presets that a file holds only the well-formed ones, and of their settings only those that are known.
export function wellFormed(presets, known) {
  if (!Array.isArray(presets)) return [];
  return presets.filter(isPreset).map(({ id, name, settings, updated }) => ({
    id,
    name: name.trim(),
    settings: Object.fromEntries(Object.entries(settings).filter(([key, value]) => typeof value === known[key])),
    updated: Number.isFinite(updated) ? updated : 0,
  }));
}

const isPreset = (value) =>
  typeof value?.id === "string" &&
  typeof value.name === "string" &&
  value.name.trim() !== "" &&
  isObject(value.settings);

// Two lists as one. The same preset twice, by id or name, is one: the newer.
export function merged(presets, incoming) {
  let list = presets;
  let count = 0;
  for (const preset of incoming) {
    const same = list.find((known) => known.id === preset.id || known.name === preset.name);
    if (same && same.updated >= preset.updated) continue;
    list = [...list.filter((known) => known !== same && known.name !== preset.name), preset];
    count += 1;
  }
  return { presets: [...list].sort((a, b) => a.name.localeCompare(b.name)), count };
}

// The element to choose, save and exchange presets with.
//
// store: has value(name) and putValue(name, value), see store.js; known: see `knownSettings`
// settings(): those of the conversation; apply(settings): gives it others
export function presetsPanel({ store, known, settings, apply }) {
  let presets = [];
  let chosen = "";

  const select = make("select", { "aria-label": text("presets"), onchange: choose });
  const name = make("input", {
    type: "text",
    maxlength: 80,
    "aria-label": text("presets_name"),
    placeholder: text("presets_name"),
  });
  const status = make("p", { role: "status", class: "hint" });
  const remove = make("button", { type: "button", onclick: removeChosen }, text("presets_delete"));
  const file = make("input", { type: "file", accept: ".json", hidden: true, onchange: load });
  const element = make(
    "fieldset",
    { class: "presets" },
    make("legend", {}, text("presets")),
    make("p", { class: "hint" }, text("presets_info")),
    make("div", { class: "presets-row" }, select, remove),
    make(
      "form",
      { class: "presets-row", onsubmit: save },
      name,
      make("button", { type: "submit" }, text("presets_save")),
    ),
    make(
      "div",
      { class: "presets-row" },
      make("button", { type: "button", onclick: download }, text("presets_export")),
      make("button", { type: "button", onclick: () => file.click() }, text("presets_import")),
      file,
    ),
    status,
  );

  const say = (key, values) => (status.textContent = key ? text(key, values) : "");

  async function keep(changed) {
    presets = changed;
    await store.putValue(PRESETS, changed);
    draw();
  }

  function draw() {
    if (!presets.some(({ id }) => id === chosen)) chosen = "";
    select.replaceChildren(
      make("option", { value: "" }, text("presets_none")),
      ...presets.map((preset) => make("option", { value: preset.id, selected: preset.id === chosen }, preset.name)),
    );
    remove.disabled = !chosen;
  }

  function choose() {
    chosen = select.value;
    const preset = presets.find(({ id }) => id === chosen);
    name.value = preset?.name ?? "";
    say();
    draw();
    if (preset) apply({ ...preset.settings });
  }

  async function save(event) {
    event.preventDefault();
    const wanted = name.value.trim();
    if (!wanted) return name.focus();
    const changed = withPreset((await store.value(PRESETS)) ?? [], { id: newId(), name: wanted, settings: settings() });
    chosen = changed.find((preset) => preset.name === wanted).id;
    await keep(changed);
    say("presets_saved");
  }

  async function removeChosen() {
    await keep(withoutPreset((await store.value(PRESETS)) ?? [], chosen));
    name.value = "";
    select.focus();
  }

  function download() {
    const url = URL.createObjectURL(new Blob([exported(presets)], { type: "application/json" }));
    make("a", { href: url, download: "presets.json" }).click();
    URL.revokeObjectURL(url);
  }

  async function load() {
    const incoming = imported(await file.files[0].text(), known);
    file.value = "";
    if (!incoming.length) return say("presets_bad_import");
    const { presets: changed, count } = merged((await store.value(PRESETS)) ?? [], incoming);
    await keep(changed);
    say("presets_imported", { count });
  }

  // Shows what is stored; to be called when another tab or an import changed it.
  async function refresh() {
    presets = (await store.value(PRESETS)) ?? [];
    draw();
  }

  refresh();
  return { element, refresh };
}
