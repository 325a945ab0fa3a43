// The head of the conversation: its name, the model, and how much of the context the latest answer used.

import { make, number, text } from "../common/dom.js";
import { onKey } from "../common/keys.js";
import { nameOf } from "./name.js";

/** @import { LiveAnswer } from "../types" */
/** @import { ModelChooser } from "../models/chooser.js" */
/** @import { Chat } from "./chat.js" */

const PRODUCT = "LLM Chatbot"; // in the title of the tab, after the conversation's name

/**
 * @param {object} options
 * @param {Chat} options.chat
 * @param {ModelChooser} options.chooser
 * @param {{ element: HTMLElement; draw: () => void }} options.menu of the models
 * @param {Map<string, LiveAnswer>} options.live the answers that are expected
 */
export function headerView({ chat, chooser, menu, live }) {
  const title = make("button", { type: "button", dir: "auto", onclick: rename });
  const heading = make("h1", {}, title);
  const bar = make("span");
  const label = make("span", { class: "context-label" });
  const meter = make("div", { class: "context-bar", role: "meter", "aria-valuemin": 0 }, bar);
  const context = make("div", { class: "context" }, meter, label);
  const element = make("div", { id: "header" }, heading, context, menu.element);

  // {length, used, limit}: of the context, in tokens. `length` is that of the model or else of the latest answer, `limit`
  // surely that of the model; null or undefined where it isn't known.
  function contextOf() {
    const figures = chat.path().map((message) => message.figures ?? live.get(message.id)?.state.figures);
    const latest = figures.findLast((answer) => answer?.prompt_tokens);
    const used = (latest?.prompt_tokens ?? 0) + (latest?.completion_tokens ?? 0);
    const limit = chooser.model().context_length ?? null;
    return { used, length: limit ?? latest?.context_length, limit };
  }

  const name = () => nameOf({ ...chat.conversation, messages: chat.path() });

  function draw() {
    menu.draw();
    drawName();
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

  function drawName() {
    const isNew = Boolean(chat.conversation.isNew);
    title.textContent = name();
    title.title = isNew ? "" : `${text("rename")}: ${name()}`;
    title.disabled = isNew;
    document.title = isNew || chat.conversation.temporary ? PRODUCT : `${name()} · ${PRODUCT}`;
  }

  function rename() {
    const { id } = chat.conversation;
    const input = make("input", { type: "text", dir: "auto", value: name(), "aria-label": text("name") });
    let isOver = false;
    const finish = async (keeps) => {
      if (isOver) return;
      isOver = true;
      if (keeps && input.value !== name()) await chat.rename(id, input.value.trim());
      heading.replaceChildren(title);
      title.focus();
    };
    onKey(input, (event) => {
      if (event.key !== "Enter" && event.key !== "Escape") return;
      event.preventDefault();
      event.stopPropagation();
      finish(event.key === "Enter");
    });
    input.addEventListener("blur", () => finish(true));
    heading.replaceChildren(input);
    input.select();
  }

  return { element, draw, context: contextOf };
}
