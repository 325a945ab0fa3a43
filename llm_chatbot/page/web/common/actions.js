// What was said of one action is not said any longer when the next one begins.

/** @type {Set<() => void>} */
const waiting = new Set();

/**
 * Does something once, when the user next acts.
 *
 * @param {() => void} act
 */
export const onNextAction = (act) => waiting.add(act);

/** To be called when the user acts otherwise than by pressing or choosing something. */
export function acted() {
  const acts = [...waiting];
  waiting.clear();
  acts.forEach((act) => act());
}

for (const name of ["click", "change"])
  document.addEventListener(
    name,
    ({ target }) => target instanceof Element && target.closest("button, a, summary, select, input") && acted(),
    true,
  );
