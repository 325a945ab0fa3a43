// What is seen of an answer before its first words, and that it is still growing.

import { below, make, number, text } from "../common/dom.js";

/** @import { AnswerState } from "../types" */

/**
 * @param {HTMLElement} element
 * @param {AnswerState | null} state null: nothing is expected
 * @param {string} content of the answer so far
 */
export function drawProgress(element, state, content) {
  const isOver = state === null || (state.phase === "writing" && content !== "");
  element.hidden = isOver;
  if (isOver) return element.replaceChildren();
  const { phase, reading } = state;
  const line = lineOf(state);
  if (phase === "reading" && reading && reading.total > reading.read) return drawBar(element, reading);
  if (element.querySelector(".pulse")) below(element, ".phase").textContent = line;
  else
    element.replaceChildren(
      make("span", { class: "pulse" }, make("i"), make("i"), make("i")),
      make("span", { class: "phase" }, line),
    );
}

/** @param {AnswerState} state */
function lineOf({ phase, place }) {
  if (phase === "waiting") return text("place", { place });
  if (phase === "loading") return text("model_loading");
  if (phase === "no_room") return text("no_room");
  return "";
}

/**
 * @param {HTMLElement} element
 * @param {NonNullable<AnswerState["reading"]>} reading
 */
function drawBar(element, { read, total, seconds }) {
  const line = [text("reading", { read: number(read), total: number(total) })];
  if (seconds !== null && seconds >= 1) line.push(text("seconds_left", { count: Math.round(seconds) }));
  let bar = element.querySelector("progress");
  if (!bar) {
    bar = make("progress");
    element.replaceChildren(bar, make("span", { class: "phase" }));
  }
  bar.max = total;
  bar.value = read;
  bar.setAttribute("aria-label", text("reading_label"));
  below(element, ".phase").textContent = line.join(" · ");
}
