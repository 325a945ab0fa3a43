// The figures of an answer: its speed on a button, and where the time went below it.

import { make, number, text } from "../common/dom.js";
import { dateFormat } from "../common/formats.js";
import { addPopup } from "../common/popup.js";

/** @import { Figures, Message } from "../types" */

/**
 * The seconds of an answer by what they went into.
 *
 * @param {Figures} figures
 */
export function timesOf({ waited = 0, time_to_first_token = 0, completion_tokens = 0, tokens_per_second = 0 }) {
  const written = tokens_per_second > 0 ? Math.max(0, completion_tokens - 1) / tokens_per_second : 0;
  return { wait: waited, read: time_to_first_token, write: written };
}

/**
 * @param {Message} message
 * @returns {HTMLElement | null} null: there are no figures
 */
export function figuresButton({ figures = {}, model, created }) {
  const { completion_tokens: count = 0, tokens_per_second: speed = 0 } = figures;
  if (!count) return null;
  const line = text("speed", { speed: number(speed, speed < 10 ? 1 : 0) });
  const button = make(
    "button",
    {
      type: "button",
      class: "figures",
      title: text("figures_shown"),
      "aria-label": `${text("figures_shown")}: ${line}`,
    },
    line,
  );
  const popup = addPopup(button, {
    class: "figures-popup",
    label: () => text("figures_shown"),
    content: (close) => [
      times(figures),
      list(figures, model, created),
      make("button", { type: "button", class: "text-button", onclick: close }, text("close")),
    ],
  });
  return make("div", { class: "menu-place" }, button, popup.element);
}

/** @param {Figures} figures */
function times(figures) {
  const parts = Object.entries(timesOf(figures));
  const all = parts.reduce((sum, [, seconds]) => sum + seconds, 0) || 1;
  const bar = make("div", { class: "times" });
  for (const [name, seconds] of parts) {
    const part = make("span", { class: name });
    part.style.width = `${(100 * seconds) / all}%`;
    bar.append(part);
  }
  const legend = parts.map(([name, seconds]) =>
    make("li", { class: name }, text(`time_${name}`), make("span", {}, text("seconds", { count: number(seconds, 2) }))),
  );
  return make("div", {}, bar, make("ul", { class: "times-legend" }, legend));
}

/**
 * @param {Figures} figures
 * @param {string | undefined} model
 * @param {number} created
 */
function list(figures, model, created) {
  const { completion_tokens = 0, tokens_per_second = 0, prompt_tokens = 0, cached_tokens = 0 } = figures;
  const rows = [
    [text("figure_written"), text("tokens", { count: number(completion_tokens) })],
    [text("figure_speed"), text("speed", { speed: number(tokens_per_second, 1) })],
    [text("figure_drafts"), draftsText(figures)],
    [text("figure_read"), text("figure_cached", { all: number(prompt_tokens), cached: number(cached_tokens) })],
    [text("model"), model ?? ""],
    [text("figure_time"), timeOf(created, { dateStyle: "medium", timeStyle: "medium" })],
  ];
  return make(
    "dl",
    {},
    rows.filter(([, value]) => value).flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]),
  );
}

/**
 * How a draft model did; empty where there is none.
 *
 * @param {Figures} figures
 */
function draftsText({ drafted_tokens = 0, accepted_tokens = 0, draft_gain = 1 }) {
  if (!drafted_tokens) return "";
  const counts = { drafted: number(drafted_tokens), accepted: number(accepted_tokens) };
  return text("draft_figures", { ...counts, gain: number(draft_gain, 2) });
}

/**
 * @param {number} created milliseconds since 1970
 * @param {Intl.DateTimeFormatOptions} format
 */
export const timeOf = (created, format) => dateFormat(document.documentElement.lang, format).format(created);
