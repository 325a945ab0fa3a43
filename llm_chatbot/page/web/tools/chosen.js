// The tools that a conversation's answers may ask for, as its settings keep them.

/** @import { Settings, ToolKey } from "../types" */

/**
 * @param {any} value
 * @returns {value is ToolKey}
 */
const isKey = (value) => Array.isArray(value) && value.length === 2 && value.every((part) => typeof part === "string");

/**
 * @param {Settings} [settings]
 * @returns {ToolKey[]}
 */
export function chosenTools({ tools } = {}) {
  if (typeof tools !== "string" || !tools) return [];
  try {
    const keys = JSON.parse(tools);
    return Array.isArray(keys) ? keys.filter(isKey) : [];
  } catch {
    return []; // of a file that somebody changed
  }
}

/**
 * @param {Settings} settings
 * @param {ToolKey[]} keys
 * @returns {Settings}
 */
export function withTools({ tools: _, ...others }, keys) {
  return keys.length ? { ...others, tools: JSON.stringify(keys) } : others;
}
