// A file of a message in a list: its name or its picture, its size, and what can be done with it.

import { iconButton, make, number, text } from "../common/dom.js";
import { ICONS } from "../common/icons.js";

/** @import { Attachment } from "../types" */

const pixels = ([width, height]) => `${width} × ${height}`;

/**
 * How much of a file was sent: in tokens, and of a picture in pixels.
 *
 * @param {Attachment} file
 */
export function sizeOf({ tokens = 0, of: all, size, from }) {
  if (size) return from ? text("picture_scaled", { size: pixels(size), from: pixels(from) }) : pixels(size);
  return all === undefined
    ? text("about_tokens", { count: number(tokens) })
    : text("part_tokens", { count: number(tokens), all: number(all) });
}

/**
 * The files of a message, each with whether it is a picture that the model no longer reads.
 *
 * @param {Attachment[] | null | undefined} files
 * @param {number} unread so many pictures, the first ones
 * @returns {[file: Attachment, isUnread: boolean][]}
 */
export const withUnread = (files, unread) => (files ?? []).map((file) => [file, Boolean(file.picture) && unread-- > 0]);

/**
 * @param {Attachment} file
 * @param {() => void} open shows more of it
 * @param {object} [options]
 * @param {(() => void) | null} [options.remove] takes it away
 * @param {string} [options.title] of what opens
 * @param {boolean} [options.isUnread] it is a picture that the model no longer reads
 */
export function fileItem(file, open, { remove = null, title = "file_open", isUnread = false } = {}) {
  const { name, picture } = file;
  return make(
    "li",
    { class: picture && `picture${isUnread ? " unread" : ""}` },
    make(
      "button",
      { type: "button", class: "choose", title: text(picture ? "picture_open" : title), onclick: open },
      picture ? make("img", { src: picture, alt: name }) : name,
    ),
    make("small", {}, isUnread ? `${sizeOf(file)} · ${text("picture_unread")}` : sizeOf(file)),
    remove && iconButton(ICONS.close, text("remove_file", { name }), remove),
  );
}

/**
 * The files that are pasted. A program for documents puts a picture of its text beside the text, which is none.
 *
 * @param {ClipboardEvent} event
 */
export function pastedFiles({ clipboardData }) {
  const isText = Boolean(clipboardData?.getData("text/plain"));
  return [...(clipboardData?.files ?? [])].filter((file) => !isText || !file.type.startsWith("image/"));
}
