// A file that is attached, over the page: what the model gets of it, the text or the picture, and how much of the file that is.

import { make, text } from "../common/dom.js";
import { sizeOf } from "../composer/file_item.js";
import { copy } from "../markdown/code.js";
import { MOST_PICTURES } from "../server/question.js";

/** @import { Attachment } from "../types" */

/**
 * @param {Attachment} file
 * @param {boolean} [isLeftOut] the latest answer's prompt had no room for it
 * @param {boolean} [isUnread] it is a picture that the model no longer reads
 */
export function showFile(file, isLeftOut = false, isUnread = false) {
  const { name, text: content, of: all, picture } = file;
  const said = [
    !picture && text(all === undefined ? "file_read_whole" : "file_read_part"),
    isUnread && text("picture_unread_info", { limit: MOST_PICTURES }),
    isLeftOut && text("file_left_out"),
  ].filter(Boolean);
  const copied = make("button", { type: "button", class: "text-button", onclick: copyAll }, text("copy"));
  const dialog = make(
    "dialog",
    { class: "file-view", "aria-labelledby": "file-view-title", onclose: () => dialog.remove() },
    make("h2", { id: "file-view-title", dir: "auto" }, name),
    make("p", { class: "hint" }, [sizeOf(file), said.join(" ")].filter(Boolean).join(" · ")),
    picture
      ? make("img", { src: picture, alt: name })
      : make("pre", { tabindex: 0, dir: "auto" }, content.replaceAll("\f", "\n\n")),
    make(
      "div",
      { class: "row end" },
      (!picture || navigator.clipboard) && copied,
      make("button", { type: "button", class: "text-button", onclick: download }, text("download")),
      make("button", { type: "button", class: "primary", onclick: () => dialog.close() }, text("close")),
    ),
  );

  async function copyAll() {
    if (await (picture ? copyPicture(picture) : copy(content))) copied.textContent = text("copied");
  }

  function download() {
    const url = picture ?? URL.createObjectURL(new Blob([content], { type: "text/plain" }));
    make("a", { href: url, download: picture ? pictureName(file) : textName(name) }).click();
    if (!picture) URL.revokeObjectURL(url);
  }

  document.querySelector("#chat-page")?.append(dialog);
  dialog.showModal();
}

// Of a file that is not text, it is only the text.
const textName = (name) => (/\.\w+$/.test(name) && !/\.(pdf|docx|html?)$/i.test(name) ? name : `${name}.txt`);

// It may have been saved anew, in another format than the file's.
function pictureName({ name, picture = "" }) {
  const [, type = "png"] = /^data:image\/(\w+)/.exec(picture) ?? [];
  const endings = { jpeg: /\.jpe?g$/i }[type] ?? new RegExp(`\\.${type}$`, "i");
  return endings.test(name) ? name : `${name.replace(/\.\w+$/, "")}.${type === "jpeg" ? "jpg" : type}`;
}

/**
 * As PNG, the one format that clipboards take.
 *
 * @param {string} url
 * @returns {Promise<boolean>} whether the browser lets it
 */
async function copyPicture(url) {
  const image = make("img", { src: url });
  await image.decode();
  const canvas = make("canvas", { width: image.naturalWidth, height: image.naturalHeight });
  canvas.getContext("2d")?.drawImage(image, 0, 0);
  const png = await new Promise((resolve) => canvas.toBlob(resolve));
  return navigator.clipboard.write([new ClipboardItem({ "image/png": png })]).then(
    () => true,
    () => false,
  );
}
