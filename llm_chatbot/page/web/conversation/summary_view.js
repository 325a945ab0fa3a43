// The summary that the model reads instead of the messages above it.

import { currentLanguage, iconButton, make, text } from "../common/dom.js";
import { ICONS } from "../common/icons.js";
import { renderInto } from "../markdown/markdown.js";
import { editBox } from "./edit_box.js";
import { labels } from "./message.js";

/** @import { Message } from "../types" */
/** @import { Chat } from "./chat.js" */

/** @param {Chat} chat */
export function summaryView(chat) {
  const heading = make("summary");
  const body = make("div", { class: "markdown body" });
  const hint = make("p", { class: "hint" });
  const actions = make("div", { class: "actions" });
  const fold = make("details", {}, heading, body, hint, actions);
  const name = make("span");
  const restore = make("button", { type: "button", class: "text-button" });
  const deleted = make("p", { class: "hint", role: "note" }, name, " ", restore);
  const element = make("div", { class: "summarised" }, fold, deleted);
  let signature = "";

  /**
   * @param {{ message: Message; count: number }} summary
   */
  function draw({ message, count }) {
    const current = JSON.stringify([message.id, count, currentLanguage()]);
    if (current === signature) return;
    signature = current;
    fold.hidden = !message.content;
    deleted.hidden = Boolean(message.content);
    heading.textContent = text("summary_of", { count });
    name.textContent = text("summary_deleted", { count });
    hint.textContent = text("summary_info");
    renderInto(body, message.content, { streaming: false, labels: labels() });
    actions.replaceChildren(
      iconButton(ICONS.pen, text("summary_edit"), () => edit(message)),
      iconButton(ICONS.bin, text("summary_delete"), () => revise("", restore)),
    );
    restore.textContent = text("summary_restore");
    restore.onclick = () => revise(chat.lastSummary(message), heading);
  }

  async function revise(content, focused) {
    await chat.reviseSummary(content);
    const { message, count } = chat.summary() ?? {};
    if (message && count) draw({ message, count });
    focused.focus();
  }

  function edit(message) {
    const close = () => {
      box.element.remove();
      fold.classList.remove("editing");
      heading.focus();
    };
    const save = (content) => {
      close();
      revise(content, heading);
    };
    const box = editBox({ message, cancel: close, save });
    fold.classList.add("editing");
    body.after(box.element);
    box.focus();
  }

  return { element, draw };
}
