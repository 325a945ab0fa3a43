// Keys that were pressed, without those that belong to an input method.

// Safari ends a composition before it reports the key that ended it.
let hasJustComposed = false;
document.addEventListener(
  "compositionend",
  () => {
    hasJustComposed = true;
    setTimeout(() => (hasJustComposed = false)); // that key is reported in the same task
  },
  true,
);

// 229 is the code of a key that an input method has taken; in Safari it is the only sign of it.
const isOfInputMethod = (event) => event.isComposing || event.keyCode === 229 || hasJustComposed;

// By itself, a browser empties a search field with Escape, and closes a dialog.
document.addEventListener(
  "keydown",
  (event) => event.key === "Escape" && isOfInputMethod(event) && event.preventDefault(),
  true,
);

/**
 * Handles the keys that are pressed in an element. While an input method composes (Chinese, Japanese, Korean, accents),
 * Enter and Escape choose or drop a word: such keys are never handled.
 *
 * @param {HTMLElement | Document} element
 * @param {(event: KeyboardEvent) => unknown} handle
 */
export function onKey(element, handle) {
  element.addEventListener("keydown", (event) => {
    const pressed = /** @type {KeyboardEvent} */ (event);
    if (!isOfInputMethod(pressed)) handle(pressed);
  });
}
