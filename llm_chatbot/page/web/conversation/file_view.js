// A file that was sent, over the page: the text that the model got of it, and how much of the file that is.

import { make, text } from "../common/dom.js";
import { copy } from "../markdown/code.js";
import { sizeOf } from "./edit_box.js";

/** @import { Attachment } from "../types" */

/**
 * @param {Attachment} file
 * @param {boolean} isLeftOut the latest answer's prompt had no room for it
 */
export function showFile(file, isLeftOut) {
  const { name, text: content, of: all } = file;
  const copied = make("button", { type: "button", class: "text-button", onclick: copyAll }, text("copy"));
  const lines = [
    text(all === undefined ? "file_read_whole" : "file_read_part"),
    sizeOf(file),
    isLeftOut && text("file_left_out"),
  ];
  const dialog = make(
    "dialog",
    { class: "file-view", "aria-labelledby": "file-view-title" },
    make("h2", { id: "file-view-title", dir: "auto" }, name),
    make("p", { class: "hint" }, lines.filter(Boolean).join(" · ")),
    make("pre", { tabindex: 0, dir: "auto" }, content.replaceAll("\f", "\n\n")),
    make(
      "div",
      { class: "row end" },
      copied,
      make("button", { type: "button", class: "text-button", onclick: download }, text("download")),
      make("button", { type: "button", class: "primary", onclick: () => dialog.close() }, text("close")),
    ),
  );

  async function copyAll() {
    if (await copy(content)) copied.textContent = text("copied");
  }

  function download() {
    const url = URL.createObjectURL(new Blob([content], { type: "text/plain" }));
    make("a", { href: url, download: /\.\w+$/.test(name) && isText(name) ? name : `${name}.txt` }).click();
    URL.revokeObjectURL(url);
  }

  document.querySelector("#chat-page")?.append(dialog);
  dialog.addEventListener("close", () => dialog.remove());
  dialog.showModal();
}

// Of the others, it is only the text.
const isText = (name) => !/\.(pdf|docx|html?)$/i.test(name);
