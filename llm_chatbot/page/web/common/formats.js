// The browser's formats of numbers, times and plurals. Making one takes as long as using it a hundred times, so each is
// made once.

/** @type {Map<string, any>} */
const made = new Map();

/**
 * @template Format
 * @param {string} kind
 * @param {new (language: string, options?: any) => Format} Kind
 * @returns {(language: string, options?: object) => Format}
 */
const once = (kind, Kind) => (language, options) => {
  const key = JSON.stringify([kind, language, options]);
  const known = made.get(key) ?? new Kind(language, options);
  made.set(key, known);
  return known;
};

export const numberFormat = once("number", Intl.NumberFormat);
export const dateFormat = once("date", Intl.DateTimeFormat);
export const relativeTimeFormat = once("relative time", Intl.RelativeTimeFormat);
export const pluralRules = once("plural", Intl.PluralRules);
