// The box in which a message is changed, with the files of a question.

import { iconButton, make, text } from "../common/dom.js";
import { ICONS } from "../common/icons.js";
import { onKey } from "../common/keys.js";
import * as libraries from "../common/libraries.js";
import { fileItem, pastedFiles } from "../composer/file_item.js";
import { ACCEPT } from "../composer/message_text.js";

/** @import { Room } from "../composer/room.js" */
/** @import { Attachment, Message } from "../types" */

/**
 * A form as wide as the column.
 *
 * @param {object} options
 * @param {Message} options.message
 * @param {Room} [options.room] of a question
 * @param {() => void} options.cancel
 * @param {(content: string, files: Attachment[]) => void} options.save called with what has changed
 */
export function editBox({ message, room, cancel, save }) {
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
    const show = async (file) => (await libraries.fileView()).showFile(file);
    chips.replaceChildren(...files.map((file) => fileItem(file, () => show(file), { remove: () => remove(file) })));
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
    refuse("");
    const { readAll } = await libraries.attachments();
    await readAll(
      chosen,
      (key, values) => refuse(text(key, values)),
      (file) => (files = [...files, file.picture ? { ...file, tokens: room?.ofPicture() } : file]),
    );
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
    refuse(room?.refusal(box.value, files) ?? "");
    if (refused.hidden) save(box.value, files);
  }

  // What was typed is dropped only by a second Escape, or by Cancel.
  function leave() {
    if (isSame() || refused.textContent === text("edit_dropped")) return cancel();
    refuse(text("edit_dropped"));
  }

  box.addEventListener("input", () => refuse(""));
  box.addEventListener("paste", (event) => {
    const pasted = message.role === "user" ? pastedFiles(event) : [];
    if (pasted.length === 0) return;
    event.preventDefault();
    add(pasted);
  });
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
