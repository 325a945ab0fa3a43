// The element to choose, save and exchange presets with.

import { onNextAction } from "../common/actions.js";
import { iconButton, make, text } from "../common/dom.js";
import { ICONS } from "../common/icons.js";
import {
  exported,
  imported,
  merged,
  PRESETS,
  withoutPreset,
  withoutSettings,
  withPreset,
  withSettings,
} from "../store/presets.js";
import { newId } from "../store/store.js";

/** @import { Store } from "../store/store.js" */
/** @import { KnownSettings, Preset, Settings } from "../types" */

/**
 * @param {object} options
 * @param {Pick<Store, "value" | "putValue">} options.store
 * @param {KnownSettings} options.known
 * @param {() => Settings} options.settings those of the conversation
 * @param {(settings: Settings) => Promise<void>} options.apply gives it others
 */
export function presetsPanel({ store, known, settings, apply }) {
  /** @type {Preset[]} */
  let presets = [];

  // The one that the conversation has.
  const chosen = () => presets.find(({ id }) => id === settings().preset);

  const select = make("select", { "aria-label": text("presets"), onchange: choose });
  const name = make("input", {
    type: "text",
    maxlength: 80,
    "aria-label": text("presets_name"),
    placeholder: text("presets_name"),
  });
  const status = make("p", { role: "status", class: "hint" });
  const remove = iconButton(ICONS.bin, text("presets_delete"), removeChosen);
  const file = make("input", { type: "file", accept: ".json", hidden: true, onchange: load });
  const element = make(
    "fieldset",
    { class: "presets", title: text("presets_info") },
    make("legend", { class: "unseen" }, text("presets")),
    make(
      "div",
      { class: "presets-row" },
      select,
      remove,
      iconButton(ICONS.down, text("presets_export"), download),
      iconButton(ICONS.up, text("presets_import"), () => file.click()),
      file,
    ),
    make(
      "form",
      { class: "presets-row", onsubmit: save },
      name,
      make("button", { type: "submit", class: "text-button" }, text("presets_save")),
    ),
    status,
  );

  function say(key, values) {
    status.textContent = text(key, values);
    onNextAction(() => (status.textContent = ""));
  }

  async function keep(changed) {
    presets = changed;
    await store.putValue(PRESETS, changed);
    draw();
  }

  function draw() {
    const shown = chosen();
    select.replaceChildren(
      make("option", { value: "" }, text("presets_none")),
      ...presets.map((preset) => make("option", { value: preset.id, selected: preset === shown }, preset.name)),
    );
    remove.disabled = !shown;
  }

  async function choose() {
    const preset = presets.find(({ id }) => id === select.value);
    name.value = preset?.name ?? "";
    await apply(preset ? withSettings(preset, settings()) : withoutSettings(settings(), chosen()));
  }

  async function save(event) {
    event.preventDefault();
    const wanted = name.value.trim();
    if (!wanted) return name.focus();
    const changed = withPreset((await store.value(PRESETS)) ?? [], { id: newId(), name: wanted, settings: settings() });
    const saved = changed.find((preset) => preset.name === wanted);
    await keep(changed);
    if (saved) await apply({ ...settings(), preset: saved.id }); // with what was changed meanwhile
    say("presets_saved");
  }

  async function removeChosen() {
    await keep(withoutPreset((await store.value(PRESETS)) ?? [], settings().preset ?? ""));
    name.value = "";
    select.focus();
  }

  function download() {
    const url = URL.createObjectURL(new Blob([exported(presets)], { type: "application/json" }));
    make("a", { href: url, download: "presets.json" }).click();
    URL.revokeObjectURL(url);
  }

  async function load() {
    const incoming = imported(await /** @type {FileList} */ (file.files)[0].text(), known);
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
  return { element, refresh, draw };
}
