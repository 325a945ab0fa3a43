// The edge of a panel, which sets its width: by dragging, or by the arrow keys.

import { make } from "../common/dom.js";
import { onKey } from "../common/keys.js";

const STEP = 16; // pixels for a key
const NARROWEST = 208;
const WIDEST = 480;

/**
 * @param {HTMLElement} panel at the left of the page
 * @param {string} kept the name of its width in localStorage
 */
export function resizer(panel, kept) {
  const element = make("div", {
    class: "resizer",
    role: "separator",
    tabindex: 0,
    "aria-orientation": "vertical",
    "aria-valuemin": NARROWEST,
    "aria-valuemax": WIDEST,
  });

  function set(width) {
    const valid = Math.round(Math.min(WIDEST, Math.max(NARROWEST, width)));
    panel.style.setProperty("--width", `${valid}px`);
    element.setAttribute("aria-valuenow", String(valid));
    return valid;
  }

  const keep = (width) => localStorage.setItem(kept, String(set(width)));
  const drag = ({ clientX }) => set(clientX - panel.getBoundingClientRect().left);

  element.addEventListener("pointerdown", (event) => {
    event.preventDefault(); // no text is selected meanwhile
    element.setPointerCapture(event.pointerId);
    element.addEventListener("pointermove", drag);
  });
  element.addEventListener("lostpointercapture", () => {
    element.removeEventListener("pointermove", drag);
    keep(panel.offsetWidth);
  });
  onKey(element, (event) => {
    const step = { ArrowLeft: -STEP, ArrowRight: STEP }[event.key];
    if (!step) return;
    event.preventDefault();
    keep(panel.offsetWidth + step);
  });
  set(Number(localStorage.getItem(kept)) || 288);
  return element;
}
