// What is seen of an answer before its first words, and that it is still growing.

import { make, number, text } from "../common/dom.js";

// state: of the server, or {} until it has the question; null where nothing is expected.
export function drawProgress(element, state, content) {
  element.hidden = state === null || (state.phase === "writing" && content !== "");
  if (element.hidden) return element.replaceChildren();
  const line = lineOf(state);
  if (state.phase === "reading" && state.reading?.total > state.reading?.read) return drawBar(element, state.reading);
  if (element.querySelector(".pulse")) element.querySelector(".phase").textContent = line;
  else
    element.replaceChildren(
      make("span", { class: "pulse" }, make("i"), make("i"), make("i")),
      make("span", { class: "phase" }, line),
    );
}

function lineOf({ phase, place }) {
  if (phase === "waiting") return text("place", { place });
  if (phase === "loading") return text("model_loading");
  if (phase === "no_room") return text("no_room");
  return "";
}

function drawBar(element, { read, total, seconds }) {
  const line = [text("reading", { read: number(read), total: number(total) })];
  if (seconds >= 1) line.push(text("seconds_left", { count: Math.round(seconds) }));
  let bar = element.querySelector("progress");
  if (!bar) {
    bar = make("progress");
    element.replaceChildren(bar, make("span", { class: "phase" }));
  }
  bar.max = total;
  bar.value = read;
  bar.setAttribute("aria-label", text("reading_label"));
  element.querySelector(".phase").textContent = line.join(" · ");
}
