// Light or dark, and the size of the text: the reader's choices, kept in this browser.

const THEME = "llm-chatbot.theme"; // in localStorage
const SIZE = "llm-chatbot.text-size";

export const THEMES = ["system", "light", "dark"];
export const SIZES = ["small", "usual", "large", "largest"];

const PERCENT = { small: 87.5, usual: 100, large: 112.5, largest: 125 }; // of the browser's own size
const isDark = window.matchMedia("(prefers-color-scheme: dark)");

// Of the address where it names one, as a notebook does for its front end.
const asked = () => new URLSearchParams(location.search).get("__theme") ?? "system";

/** @returns {string} of `THEMES` */
export const chosenTheme = () => known(localStorage.getItem(THEME), THEMES) ?? known(asked(), THEMES) ?? "system";

/** @returns {string} of `SIZES` */
export const chosenSize = () => known(localStorage.getItem(SIZE), SIZES) ?? "usual";

const known = (value, all) => (all.includes(value) ? value : null);

/** @param {string} theme of `THEMES` */
export function chooseTheme(theme) {
  localStorage.setItem(THEME, theme);
  apply();
}

/** @param {string} size of `SIZES` */
export function chooseSize(size) {
  localStorage.setItem(SIZE, size);
  apply();
}

function apply() {
  const theme = chosenTheme();
  const dark = theme === "dark" || (theme === "system" && isDark.matches);
  document.body.classList.toggle("dark", dark);
  document.documentElement.style.colorScheme = dark ? "dark" : "light"; // of scrollbars and the browser's own controls
  document.documentElement.style.fontSize = `${PERCENT[chosenSize()]}%`;
}

/** Shows what was chosen, also where another tab chose it. */
export function startTheme() {
  apply();
  isDark.addEventListener("change", apply);
  window.addEventListener("storage", ({ key }) => [THEME, SIZE].includes(key ?? "") && apply());
}
