// Small helpers to build elements, and the texts of the page in its language.

// An element with attributes (`onclick` and such are listeners; null and false leave an attribute out) and children.
export function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false)
      node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

// An icon of 24 × 24 units, drawn as lines.
export function icon(path) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  const line = document.createElementNS("http://www.w3.org/2000/svg", "path");
  line.setAttribute("d", path);
  svg.append(line);
  return svg;
}

// A button with an icon and a name for screen readers and the mouse.
export const iconButton = (path, label, onclick, attributes = {}) =>
  make(
    "button",
    { type: "button", class: "icon", "aria-label": label, title: label, onclick, ...attributes },
    icon(path),
  );

const LANGUAGE = "llm-chatbot.language";
let texts = { en: {} };
let language = "en";

const known = (code) => (code in texts ? code : "en");

// The texts of `llm_chatbot/texts`; the language is the one that was chosen, or the browser's where the page speaks it.
export function setTexts(all) {
  texts = all;
  setLanguage(localStorage.getItem(LANGUAGE) || navigator.language.slice(0, 2));
}

function setLanguage(code) {
  language = known(code);
  document.documentElement.lang = language;
}

export function chooseLanguage(code) {
  localStorage.setItem(LANGUAGE, code);
  setLanguage(code);
}

export const currentLanguage = () => language;

// A text of the page with its values filled in: of its plural forms, the one for `count`. A value may be a text itself.
export function text(key, values = {}) {
  const forms = texts[language][key];
  const line = forms?.[new Intl.PluralRules(language).select(values.count)] ?? forms?.other ?? key;
  const said = (value) => (typeof value === "object" ? errorText(value) : value);
  return line.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? said(values[name]) : whole));
}

// What an error says: {key, values} of the texts, or {text}. An older server may have given a key that is gone.
export const errorText = (error) => (error?.key in texts[language] ? text(error.key, error.values) : (error?.text ?? ""));

export const number = (value, digits = 0) =>
  Number(value).toLocaleString(language, { minimumFractionDigits: digits, maximumFractionDigits: digits });
