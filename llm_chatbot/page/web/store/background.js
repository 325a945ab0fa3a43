// What the model does when nothing else waits, as far as it is wanted in this browser.

const TITLES = "llm-chatbot.titles"; // in localStorage
const SUMMARIES = "llm-chatbot.summaries";

const isOn = (name) => localStorage.getItem(name) !== "off";

/** @param {string} name */
const choose = (name) => (/** @type {boolean} */ isWanted) => localStorage.setItem(name, isWanted ? "on" : "off");

export const wantsTitles = () => isOn(TITLES);
export const chooseTitles = choose(TITLES);
export const wantsSummaries = () => isOn(SUMMARIES);
export const chooseSummaries = choose(SUMMARIES);
