// What is copied of a selection: KaTeX draws each formula twice, for the eye and for screen readers, so that a copy would
// have it as two strings of signs. It gets the source instead.

import { make } from "../common/dom.js";
import { sourceOf } from "./maths.js";

const FORMULA = ".math.done";

const formulaAround = (node) => (node instanceof Element ? node : node.parentElement)?.closest(FORMULA);

// A copy of what is selected, with whole formulas.
function selected(selection) {
  const range = selection.getRangeAt(0).cloneRange();
  const [first, last] = [formulaAround(range.startContainer), formulaAround(range.endContainer)];
  if (first) range.setStartBefore(first);
  if (last) range.setEndAfter(last);
  return range.cloneContents();
}

document.addEventListener("copy", (event) => {
  const selection = document.getSelection();
  const isTyped = event.target instanceof Element && event.target.closest("textarea, input");
  if (!selection || selection.isCollapsed || isTyped || !event.clipboardData) return;
  const content = selected(selection);
  /** @type {NodeListOf<HTMLElement>} */
  const formulas = content.querySelectorAll(FORMULA);
  if (formulas.length === 0) return;
  for (const formula of formulas) formula.replaceChildren(sourceOf(formula));
  content.querySelectorAll(".code-head").forEach((head) => head.remove());
  const drawn = make("div", { class: "markdown", style: "position: fixed; left: -200vw; width: 100vw" }, content);
  document.body.append(drawn);
  // biome-ignore lint/performance/useDomNodeTextContent: where lines end is known only of what is drawn
  event.clipboardData.setData("text/plain", drawn.innerText);
  event.clipboardData.setData("text/html", drawn.innerHTML);
  drawn.remove();
  event.preventDefault();
});
