// The calls that an answer asks for, and a call with its result, as elements. All that a model or a tool wrote is text.

import { make, text } from "../common/dom.js";

/** @import { Message, ToolCall } from "../types" */

// Characters that change how others are read, or are not seen: https://www.unicode.org/reports/tr9/
const UNSEEN = /[\u00ad\u061c\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff]/g;

/**
 * A text of which nothing is hidden.
 *
 * @param {string} content
 */
export const visible = (content) =>
  content.replace(UNSEEN, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`);

/** @param {ToolCall} call whose server and tool are named in a text */
export const namesOf = ({ server, tool }) => ({ server: visible(server), tool: visible(tool) });

/**
 * @param {string} content
 * @param {string} label
 */
const block = (content, label) =>
  make("pre", { tabindex: 0, dir: "auto", role: "region", "aria-label": label }, visible(content));

/**
 * The arguments of a call.
 *
 * @param {ToolCall} call
 */
export const argumentsOf = (call) => block(call.arguments, text("call_arguments", namesOf(call)));

/**
 * Draws the calls of an answer, each folded.
 *
 * @param {HTMLElement} element
 * @param {ToolCall[]} calls
 */
export function drawCalls(element, calls) {
  const wasOpen = [...element.querySelectorAll("details:not(.begun)")].map((fold) => fold.hasAttribute("open"));
  element.replaceChildren(
    ...calls.map((call, index) =>
      make(
        "details",
        { class: call.begun && "begun", open: Boolean(call.begun || wasOpen[index]) },
        make("summary", {}, text("call_written", namesOf(call))),
        argumentsOf(call),
      ),
    ),
  );
}

const SAID = { stop: "call_result", failed: "call_failed", refused: "call_refused" };

/**
 * Draws a call that was decided on, with its result folded.
 *
 * @param {HTMLElement} element
 * @param {Message & { call: ToolCall }} message
 * @param {boolean} isExpected the call is being made
 */
export function drawResult(element, { call, content, finish_reason = "", cut = 0 }, isExpected) {
  if (isExpected) {
    const running = make("p", { class: "progress" }, make("span", { class: "pulse" }, make("i"), make("i"), make("i")));
    running.append(make("span", { class: "phase" }, text("call_running", namesOf(call))));
    return element.replaceChildren(running);
  }
  const title = text(SAID[finish_reason] ?? "call_without_result", namesOf(call));
  const hasResult = ["stop", "failed"].includes(finish_reason);
  if (!hasResult)
    return element.replaceChildren(
      make(
        "p",
        { class: "undone" },
        make("strong", {}, title),
        finish_reason !== "refused" && ` – ${visible(content)}`,
      ),
    );
  const wasOpen = Boolean(element.querySelector("details")?.open);
  const left = cut ? make("p", { class: "hint" }, text("call_cut", { count: cut })) : null;
  element.replaceChildren(make("details", { open: wasOpen }, make("summary", {}, title), block(content, title), left));
}
