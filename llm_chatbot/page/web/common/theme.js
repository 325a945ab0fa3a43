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
  document.body.classList.toggle("dark", theme === "dark" || (theme === "system" && isDark.matches));
  document.documentElement.style.fontSize = `${PERCENT[chosenSize()]}%`;
}

/** Shows what was chosen, also where another tab chose it and where Gradio sets the theme of the system. */
export function startTheme() {
  apply();
  isDark.addEventListener("change", apply);
  window.addEventListener("storage", ({ key }) => [THEME, SIZE].includes(key ?? "") && apply());
  new MutationObserver(apply).observe(document.body, { attributeFilter: ["class"] });
}
