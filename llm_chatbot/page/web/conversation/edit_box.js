// The box in which a message is changed, with the files of a question.

import { currentLanguage, iconButton, make, number, text } from "../common/dom.js";
import { ICONS } from "../common/icons.js";
import { onKey } from "../common/keys.js";
import * as libraries from "../common/libraries.js";
import { ACCEPT, estimateTokens } from "../composer/message_text.js";

/** @import { Attachment, Message } from "../types" */

/**
 * How much of a file was sent, in tokens.
 *
 * @param {Attachment} file
 */
export const sizeOf = ({ tokens = 0, of: all }) =>
  all === undefined
    ? text("about_tokens", { count: number(tokens) })
    : text("part_tokens", { count: number(tokens), all: number(all) });

/**
 * A file with its size, and a button to take it away.
 *
 * @param {Attachment} file
 * @param {() => void} [remove]
 * @param {() => void} [open]
 */
export const fileItem = (file, remove, open) =>
  make(
    "li",
    {},
    open
      ? make("button", { type: "button", class: "choose", title: text("file_open"), onclick: open }, file.name)
      : make("span", { title: file.name }, file.name),
    make("small", {}, sizeOf(file)),
    remove && iconButton(ICONS.close, text("remove_file", { name: file.name }), remove),
  );

/**
 * A form as wide as the column.
 *
 * @param {object} options
 * @param {Message} options.message
 * @param {(content: string, files: Attachment[]) => string} options.refusal why it can't be sent, or ""
 * @param {() => void} options.cancel
 * @param {(content: string, files: Attachment[]) => void} options.save called with what has changed
 */
export function editBox({ message, refusal, cancel, save }) {
  const box = make("textarea", { dir: "auto", "aria-label": text("edit"), rows: 1 });
  const chips = make("ul", { class: "files" });
  const refused = make("p", { class: "hint error", role: "alert", hidden: true });
  const input = make("input", {
    type: "file",
    accept: ACCEPT,
    multiple: true,
    hidden: true,
    "aria-label": text("attach"),
    onchange: () => add([...(input.files ?? [])]),
  });
  const attach = iconButton(ICONS.clip, text("attach"), () => input.click());
  const element = make(
    "form",
    { class: "edit", onsubmit: submit },
    chips,
    box,
    refused,
    make(
      "div",
      {},
      message.role === "user" && attach,
      input,
      make("button", { type: "button", onclick: cancel }, text("cancel")),
      make("button", { class: "primary" }, text(message.role === "user" ? "send" : "save")),
    ),
  );
  const before = message.attachments ?? [];
  let files = before;
  box.value = message.content;

  function refuse(why) {
    refused.textContent = why;
    refused.hidden = !why;
  }

  function drawFiles() {
    chips.replaceChildren(...files.map((file) => fileItem(file, () => remove(file))));
    chips.hidden = files.length === 0;
  }

  function remove(file) {
    files = files.filter((kept) => kept !== file);
    refuse("");
    drawFiles();
    box.focus();
  }

  async function add(chosen) {
    input.value = "";
    const { readFile, UnreadableFile } = await libraries.attachments();
    for (const file of chosen) {
      try {
        const { name, text: content } = await readFile(file, currentLanguage());
        files = [...files, { name, text: content, tokens: estimateTokens(content) }];
        refuse("");
      } catch (error) {
        if (!(error instanceof UnreadableFile)) throw error;
        refuse(text(error.key, error.values));
      }
    }
    drawFiles();
    box.focus();
  }

  const isSame = () =>
    box.value === message.content &&
    files.length === before.length &&
    files.every((file, index) => file === before[index]);

  function submit(event) {
    event.preventDefault();
    const isEmpty = !box.value.trim() && files.length === 0;
    if (isEmpty || isSame()) return cancel();
    refuse(refusal(box.value, files));
    if (refused.hidden) save(box.value, files);
  }

  // What was typed is dropped only by a second Escape, or by Cancel.
  function leave() {
    if (isSame() || refused.textContent === text("edit_dropped")) return cancel();
    refuse(text("edit_dropped"));
  }

  box.addEventListener("input", () => refuse(""));
  onKey(box, (event) => {
    if (event.key === "Escape") leave();
    else if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) submit(event);
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
  drawFiles();
  return { element, focus: () => box.focus() };
}
