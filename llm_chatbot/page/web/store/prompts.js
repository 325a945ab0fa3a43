// Prompts: texts under a name, which `/name` in the box brings, kept in this browser. `{{topic}}` in a text is a
// variable, and `{{tone|friendly}}` one with a default. The functions are pure.

/** @import { Prompt } from "../types" */

export const PROMPTS = "prompts"; // in the store of the page

const VARIABLE = /\{\{\s*([^{}|\n]{1,40}?)\s*(?:\|([^{}\n]*))?\}\}/g;
const LONGEST_NAME = 40;

/**
 * A name as it is typed after the slash: without spaces and slashes.
 *
 * @param {string} typed
 * @returns {string} "" where nothing is left
 */
export const promptName = (typed) =>
  typed
    .trim()
    .replace(/^\/+/, "")
    .replace(/[\s/]+/g, "-")
    .slice(0, LONGEST_NAME);

/**
 * The variables of a text, each once, in their order.
 *
 * @param {string} text
 * @returns {{ name: string; value: string }[]} value: the default, or ""
 */
export function variablesOf(text) {
  const found = new Map();
  for (const [, name, value = ""] of text.matchAll(VARIABLE)) if (!found.get(name)) found.set(name, value.trim());
  return [...found].map(([name, value]) => ({ name, value }));
}

/**
 * A text with values in the places of its variables. What a value holds is no variable.
 *
 * @param {string} text
 * @param {Record<string, string>} values
 * @returns {string}
 */
export const filled = (text, values) =>
  text.replace(VARIABLE, (whole, name) => (Object.hasOwn(values, name) ? values[name] : whole));

/**
 * The prompts that fit to what is in the box: `/` and the beginning of a name, and nothing else. Those whose name goes
 * on elsewhere come last.
 *
 * @param {Prompt[]} prompts
 * @param {string} typed
 * @returns {Prompt[] | null} null: no name is being typed
 */
export function matching(prompts, typed) {
  const [, name] = /^\/([^\s/]*)$/.exec(typed) ?? [];
  if (name === undefined) return null;
  const wanted = name.toLowerCase();
  const place = (prompt) => prompt.name.toLowerCase().indexOf(wanted);
  return prompts.filter((prompt) => place(prompt) >= 0).sort((a, b) => Math.sign(place(a)) - Math.sign(place(b)));
}

/**
 * A list with one prompt more, or changed: one with the same id or name is replaced.
 *
 * @param {Prompt[]} prompts
 * @param {Prompt} prompt
 * @returns {Prompt[]}
 */
export const withPrompt = (prompts, prompt) =>
  [...prompts.filter(({ id, name }) => id !== prompt.id && name !== prompt.name), prompt].sort((a, b) =>
    a.name.localeCompare(b.name),
  );

/**
 * Of the prompts that a file holds only the well-formed ones.
 *
 * @param {any} prompts
 * @returns {Prompt[]}
 */
export function wellFormedPrompts(prompts) {
  if (!Array.isArray(prompts)) return [];
  const isText = (value) => typeof value === "string";
  return prompts
    .filter((each) => isText(each?.id) && isText(each.text) && isText(each.name) && promptName(each.name))
    .map(({ id, name, text, updated }) => ({
      id,
      name: promptName(name),
      text,
      updated: Number.isFinite(updated) ? updated : 0,
    }));
}

/**
 * Two lists as one: of two prompts with the same id or name, the newer stays.
 *
 * @param {Prompt[]} prompts
 * @param {Prompt[]} incoming
 * @returns {Prompt[]}
 */
export function mergedPrompts(prompts, incoming) {
  let list = prompts;
  for (const prompt of incoming) {
    const same = list.find(({ id, name }) => id === prompt.id || name === prompt.name);
    if (!same || same.updated < prompt.updated) list = withPrompt(list, prompt);
  }
  return list;
}
