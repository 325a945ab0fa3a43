// Small helpers to build elements, and the texts of the page in its language.

import { numberFormat, pluralRules } from "./formats.js";

/** @import { Attributes, Child, PageError, Texts, TextValues } from "../types" */

/**
 * An element with attributes and children.
 *
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Attributes} [attributes]
 * @param {(Child | Child[])[]} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") node.addEventListener(name.slice(2), /** @type {EventListener} */ (value));
    else if (isGiven(value)) node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(.../** @type {(Node | string)[]} */ (children.flat().filter(isGiven)));
  return node;
}

/**
 * Gives an element these children, in this order, and moves none that is in its place: a moved element is styled anew,
 * and loses the focus.
 *
 * @param {Element} parent
 * @param {Element[]} children
 */
export function arrange(parent, children) {
  let place = parent.firstElementChild;
  for (const child of children) {
    if (child === place) place = place.nextElementSibling;
    else parent.insertBefore(child, place);
  }
  while (place) {
    const next = place.nextElementSibling;
    place.remove();
    place = next;
  }
}

/**
 * The element below another that a selector names. The type says that it is there: who can't know that asks with `?.`.
 *
 * @param {ParentNode} root
 * @param {string} selector
 */
export const below = (root, selector) => /** @type {HTMLElement} */ (root.querySelector(selector));

/** The element with the focus, or null. */
export const focused = () => (document.activeElement instanceof HTMLElement ? document.activeElement : null);

/** @param {unknown} value */
const isGiven = (value) => value !== null && value !== undefined && value !== false;

/**
 * An icon of 24 × 24 units, drawn as lines.
 *
 * @param {string} path
 */
export function icon(path) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  const line = document.createElementNS("http://www.w3.org/2000/svg", "path");
  line.setAttribute("d", path);
  svg.append(line);
  return svg;
}

/**
 * A button with an icon and a name for screen readers and the mouse.
 *
 * @param {string} path of the icon
 * @param {string} label
 * @param {(event: any) => unknown} [onclick]
 * @param {Attributes} [attributes]
 */
export const iconButton = (path, label, onclick, attributes = {}) =>
  make(
    "button",
    { type: "button", class: "icon", "aria-label": label, title: label, onclick, ...attributes },
    icon(path),
  );

const LANGUAGE = "llm-chatbot.language";
/** @type {Texts} */
let texts = {};
let language = "en";

/** The language that was chosen, or the browser's. */
export const wantedLanguage = () => localStorage.getItem(LANGUAGE) || navigator.language.slice(0, 2);

/**
 * Gives the page its texts.
 *
 * @param {{ language: string; texts: Texts }} given of `llm_chatbot/texts`, in the language that was wanted, or in
 *   English where the page doesn't speak it
 */
export function setTexts(given) {
  ({ language, texts } = given);
  document.documentElement.lang = language;
}

/** @param {string} code */
export const chooseLanguage = (code) => localStorage.setItem(LANGUAGE, code);

export const currentLanguage = () => language;

/**
 * A text of the page with its values filled in: of its plural forms, the one for `count`. A value may be a text itself.
 *
 * @param {string} key
 * @param {TextValues} [values]
 * @returns {string}
 */
export function text(key, values = {}) {
  return lineOf(key, values).replace(VALUE, (whole, name) => (name in values ? said(values[name]) : whole));
}

const VALUE = /\{(\w+)\}/g;

function lineOf(key, values) {
  const forms = texts[key];
  if (forms && !("count" in values)) return forms.other ?? key;
  return forms?.[pluralRules(language).select(Number(values.count))] ?? forms?.other ?? key;
}

/** @param {any} value */
const said = (value) => (typeof value === "object" ? errorText(value) : String(value));

/**
 * What an error says. One that was saved by another version may have a key that is gone, or other values.
 *
 * @param {PageError | null} [error]
 * @returns {string} the sentence, or "" where there is no error
 */
export function errorText(error) {
  if (!error) return "";
  const { key = "" } = error;
  const values = error.values ?? {};
  const known = key === "too_long" ? "prompt.too_long" : key; // the page's first versions saved the former
  const names = [...lineOf(known, values).matchAll(VALUE)].map(([, name]) => name);
  if (Object.hasOwn(texts, known) && names.every((name) => name in values)) return text(known, values);
  return error.text || text("error_of_another_version");
}

/**
 * A number in the language of the page.
 *
 * @param {number} value
 * @param {number} [digits] after the decimal point
 */
export const number = (value, digits = 0) =>
  numberFormat(language, { minimumFractionDigits: digits, maximumFractionDigits: digits }).format(Number(value));
