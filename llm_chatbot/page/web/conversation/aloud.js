// Reads an answer aloud with the browser's own voices: local ones only, as others send the text to a service.

const speech = window.speechSynthesis;

/** @returns {SpeechSynthesisVoice[]} those that speak on this machine */
const localVoices = () => (speech?.getVoices() ?? []).filter((voice) => voice.localService);

/** Whether this machine has a voice. Browsers may tell only after a while. */
export const canSpeak = () => localVoices().length > 0;

export const isSpeaking = () => Boolean(speech?.speaking);

export const stopSpeaking = () => speech?.cancel();

/** @param {HTMLElement} element what is drawn of the answer */
export function readAloud(element) {
  stopSpeaking();
  const copy = /** @type {HTMLElement} */ (element.cloneNode(true));
  copy.querySelectorAll(".code-head, .katex-mathml, .line-numbers").forEach((node) => node.remove());
  const spoken = new SpeechSynthesisUtterance(copy.textContent?.trim() ?? "");
  const language = languageOf(spoken.text);
  spoken.voice = localVoices().find((voice) => voice.lang.startsWith(language)) ?? localVoices()[0];
  spoken.lang = spoken.voice?.lang ?? language;
  speech.speak(spoken);
}

// Of the text, not of the page: kana are Japanese, other Han characters Chinese.
function languageOf(content) {
  if (/[\u3040-\u30ff]/.test(content)) return "ja";
  return /[\u4e00-\u9fff]/.test(content) ? "zh" : "en";
}
