// Numbers as people type them.

/** @import { NumberSetting } from "../types" */

const GROUPED = /^[+-]?\d{1,3}([.,'\u2019 ]\d{3})+$/; // 4,096 where only whole numbers are asked for

/**
 * The number that was typed, in its range; a comma is a decimal point. Full-width digits are digits.
 *
 * @param {string} typed
 * @param {Pick<NumberSetting, "minimum" | "maximum" | "step">} setting with a whole `step` it is a whole number
 * @returns {number | null} null: it is none
 */
export function parsedNumber(typed, { minimum, maximum, step }) {
  const isWhole = Number.isInteger(step);
  const plain = typed.normalize("NFKC").replaceAll("\u2212", "-").trim();
  const digits = isWhole && GROUPED.test(plain) ? plain.replace(/[^\d+-]/g, "") : plain.replace(",", ".");
  const value = digits === "" ? NaN : Number(digits);
  if (!Number.isFinite(value)) return null;
  return Math.min(Math.max(isWhole ? Math.round(value) : value, minimum), maximum ?? Infinity);
}

/**
 * The number one step further, without what adding fractions leaves behind.
 *
 * @param {number} value
 * @param {number} direction 1 or -1
 * @param {Pick<NumberSetting, "minimum" | "maximum" | "step">} setting
 * @returns {number}
 */
export const stepped = (value, direction, { minimum, maximum, step }) =>
  Math.min(Math.max(Number((value + direction * step).toFixed(6)), minimum), maximum ?? Infinity);
