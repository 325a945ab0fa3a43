// Presets: a system prompt and settings under a name, kept in this browser. The functions are pure.

import { isObject } from "./tree.js";

/** @import { KnownSettings, NumberSetting, Preset, Settings } from "../types" */

export const PRESETS = "presets"; // in the store of the page
const FORMAT = "llm-chatbot presets";

/**
 * A list with one preset more, or changed: one with the same name is replaced.
 *
 * @param {Preset[]} presets
 * @param {{ id: string; name: string; settings: Settings; updated?: number }} preset
 * @returns {Preset[]}
 */
export function withPreset(presets, { id, name, settings, updated = Date.now() }) {
  const same = presets.find((preset) => preset.name === name);
  const { preset: _, collections: __, tools: ___, ...own } = settings;
  const preset = { id: same?.id ?? id, name, settings: own, updated };
  return [...presets.filter((preset) => preset !== same), preset].sort((a, b) => a.name.localeCompare(b.name));
}

/**
 * @param {Preset[]} presets
 * @param {string} id
 */
export const withoutPreset = (presets, id) => presets.filter((preset) => preset.id !== id);

/**
 * The settings of a conversation with those of a preset in the place of all others. Its collections and tools stay.
 *
 * @param {Preset} preset
 * @param {Settings} [before]
 * @returns {Settings}
 */
export const withSettings = ({ id, settings }, before = {}) => ({
  ...settings,
  ...ofConversation(before),
  preset: id,
});

/**
 * @param {Settings} settings
 * @returns {Settings}
 */
export const ofConversation = ({ collections, tools }) => ({
  ...(collections ? { collections } : {}),
  ...(tools ? { tools } : {}),
});

/**
 * The settings of a conversation without those that a preset gave it; what was changed since stays.
 *
 * @param {Settings} settings
 * @param {Preset} [preset] undefined: it is gone
 * @returns {Settings}
 */
export function withoutSettings({ preset: id, ...settings }, preset) {
  const given = preset?.settings ?? {};
  return Object.fromEntries(Object.entries(settings).filter(([name, value]) => given[name] !== value));
}

/**
 * The text of a file with all presets.
 *
 * @param {Preset[]} presets
 * @returns {string}
 */
export const exported = (presets) => JSON.stringify({ format: FORMAT, version: 1, presets }, null, 2);

/**
 * The settings that a preset may have.
 *
 * @param {NumberSetting[]} numbers those that the server describes
 * @returns {KnownSettings}
 */
export const knownSettings = (numbers) => ({
  system_prompt: "string",
  thinking: "boolean",
  effort: "string",
  thinking_budget: "number",
  probabilities: "boolean",
  ...Object.fromEntries(numbers.map(({ name }) => [name, "number"])),
});

/**
 * The presets in the text of a file.
 *
 * @param {string} content
 * @param {KnownSettings} known
 * @returns {Preset[]}
 */
export function imported(content, known) {
  let file;
  try {
    file = JSON.parse(content);
  } catch {
    return [];
  }
  return file?.format === FORMAT ? wellFormed(file.presets, known) : [];
}

/**
 * Of the presets that a file holds only the well-formed ones, and of their settings only those that are known.
 *
 * @param {any} presets
 * @param {KnownSettings} known
 * @returns {Preset[]}
 */
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

/**
 * Two lists as one. The same preset twice, by id or name, is one: the newer.
 *
 * @param {Preset[]} presets
 * @param {Preset[]} incoming
 * @returns {{ presets: Preset[]; count: number }} count: those that are new or newer
 */
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
