// The head of the conversation: the model, and how much of its context the conversation used for its latest answer.

import { make, number, text } from "../common/dom.js";

/** @import { LiveAnswer, LoadedModel, ServerState } from "../types" */
/** @import { Chat } from "./chat.js" */

/**
 * @param {object} options
 * @param {Chat} options.chat
 * @param {ServerState} options.server
 * @param {Map<string, LoadedModel>} options.models those that were loaded, by their keys
 * @param {Map<string, LiveAnswer>} options.live the answers that are expected
 * @param {() => void} options.chooseModel called where the name of the model is pressed
 */
export function headerView({ chat, server, models, live, chooseModel }) {
  const title = make("button", { type: "button", onclick: chooseModel });
  const bar = make("span");
  const label = make("span", { class: "context-label" });
  const meter = make("div", { class: "context-bar", role: "meter", "aria-valuemin": 0 }, bar);
  const context = make("div", { class: "context" }, meter, label);
  const element = make("div", { id: "header" }, make("h1", {}, title), context);

  /** @returns {{ title: string; context_length?: number | null }} */
  const model = () => {
    const key = chat.conversation.model ?? server.model.key;
    return models.get(String(key)) ?? { title: key.filter(Boolean).join(" · ") };
  };

  // {length, used, limit}: of the context, in tokens. `length` is that of the model or else of the latest answer, `limit`
  // surely that of the model; null or undefined where it isn't known.
  function contextOf() {
    const figures = chat.path().map((message) => message.figures ?? live.get(message.id)?.state.figures);
    const latest = figures.findLast((answer) => answer?.prompt_tokens);
    const used = (latest?.prompt_tokens ?? 0) + (latest?.completion_tokens ?? 0);
    const limit = model().context_length ?? null;
    return { used, length: limit ?? latest?.context_length, limit };
  }

  function draw() {
    title.textContent = title.title = model().title;
    const { used, length } = contextOf();
    context.hidden = !length;
    if (!length) return;
    const values = { used: number(used), length: number(length) };
    bar.style.width = `${Math.min(100, (100 * used) / length)}%`;
    label.textContent = `${values.used} / ${values.length}`;
    context.title = text("context", values);
    meter.setAttribute("aria-label", text("context", values));
    meter.setAttribute("aria-valuemax", String(length));
    meter.setAttribute("aria-valuenow", String(used));
  }

  return { element, draw, context: contextOf };
}
