// The question whether a call may be made: what is called, with which arguments, and three ways to answer.

import { focused, make, text } from "../common/dom.js";
import { argumentsOf, namesOf } from "./calls.js";
import { isLong } from "./rounds.js";

/** @import { ToolCall } from "../types" */
/** @import { Step } from "./rounds.js" */

/**
 * @typedef {ReturnType<typeof askView>} AskView
 *
 * @param {(decision: "once" | "always" | "refuse") => unknown} decide
 */
export function askView(decide) {
  const element = make("div", { class: "asking", role: "group", tabindex: -1, "aria-labelledby": "asked-call" });
  let drawn = "";

  /**
   * @param {Step & { call: ToolCall }} step
   * @param {string} language
   */
  function draw(step, language) {
    const signature = `${step.id} ${language}`;
    if (signature === drawn) return;
    drawn = signature;
    const hadFocus = element.contains(focused());
    element.replaceChildren(
      make("h3", { id: "asked-call" }, text("call_asked", namesOf(step.call))),
      argumentsOf(step.call),
      ...(isLong(step) ? [make("p", { class: "hint" }, text("call_rounds", { count: step.made }))] : []),
      make(
        "div",
        { class: "buttons" },
        button("once", "call_allow", "primary"),
        button("always", "call_always"),
        button("refuse", "call_refuse"),
      ),
    );
    if (hadFocus) element.focus({ preventScroll: true });
  }

  const button = (decision, key, own = "") =>
    make("button", { type: "button", class: `text-button ${own}`, onclick: () => press(decision) }, text(key));

  // Once: what is pressed twice, or after another tab was first, is decided already.
  function press(decision) {
    element.querySelectorAll("button").forEach((each) => (each.disabled = true));
    decide(decision);
  }

  return { element, draw, forget: () => (drawn = "") };
}
