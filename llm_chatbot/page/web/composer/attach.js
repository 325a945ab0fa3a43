// The files that are attached to the message being written: chosen, dropped or pasted; and what of them goes in.

import { iconButton, make, number, text } from "../common/dom.js";
import { ICONS } from "../common/icons.js";
import * as libraries from "../common/libraries.js";
import { fileItem, pastedFiles } from "./file_item.js";
import { ACCEPT, estimateTokens } from "./message_text.js";

/** @import { Store } from "../store/store.js" */
/** @import { DraftFile, TextValues } from "../types" */
/** @import { Room } from "./room.js" */

const PASTED = 4000; // characters from which on pasted text becomes a file

const kept = (conversation) => `files.${conversation}`; // in the store

/**
 * @param {object} options
 * @param {Store} options.store
 * @param {Room} options.room
 * @param {() => number | null} options.left tokens that the next message may have; null: not known
 * @param {(key: string, values?: TextValues) => void} options.say shows a sentence
 * @param {() => void} options.changed called after files were added or removed
 * @param {() => boolean} options.isTemporary nothing of the conversation is stored
 */
export function attachView({ store, room, left, say, changed, isTemporary }) {
  const input = make("input", { type: "file", accept: ACCEPT, multiple: true, hidden: true, onchange: chosen });
  const button = iconButton(ICONS.clip, "", () => input.click());
  const chips = make("ul", { class: "files" });
  const warning = make("p", { class: "hint warning", role: "status" });
  let conversation = "";
  let isStored = false; // files of this conversation are in the store
  /** @type {Map<string, typeof files>} */
  const inMemory = new Map(); // of temporary conversations
  /** @type {DraftFile[]} */
  let files = [];

  async function open(id) {
    conversation = id;
    files = [];
    draw();
    const stored = inMemory.get(id) ?? (await store.value(kept(id))) ?? [];
    if (conversation !== id || files.length) return;
    files = stored;
    isStored = files.length > 0 && !inMemory.has(id);
    draw();
  }

  function change(update) {
    files = update;
    keep();
    draw();
    changed();
  }

  // Those of a temporary conversation stay in memory.
  function keep() {
    if (isTemporary()) {
      inMemory.set(conversation, files);
      if (isStored) store.putValue(kept(conversation), []);
    } else store.putValue(kept(conversation), files);
    isStored = !isTemporary() && files.length > 0;
  }

  async function add(list) {
    const target = conversation;
    const { readAll } = await libraries.attachments();
    await readAll(list, say, (file) => target === conversation && change([...files, file]));
    const free = left();
    const texts = files.filter(({ picture }) => !picture);
    if (texts.length && free !== null && total() > free)
      choose(texts.reduce((largest, file) => (tokensOf(file) > tokensOf(largest) ? file : largest)));
  }

  async function chosen() {
    await add([...(input.files ?? [])]);
    input.value = "";
  }

  /** @param {DraftFile} file */
  const tokensOf = ({ picture, tokens = 0 }) => (picture ? room.ofPicture() : tokens);
  const total = () => files.reduce((sum, file) => sum + tokensOf(file), 0);

  function paste(event) {
    const content = event.clipboardData.getData("text/plain");
    const pasted = pastedFiles(event);
    if (pasted.length === 0 && content.length >= PASTED)
      pasted.push(new File([content], text("pasted_name"), { type: "text/plain" }));
    if (pasted.length === 0) return;
    event.preventDefault();
    add(pasted);
  }

  const chip = (file) =>
    fileItem(file, () => choose(file), {
      remove: () => change(files.filter((attached) => attached !== file)),
      title: "choose_parts",
    });

  function draw() {
    button.setAttribute("aria-label", text("attach"));
    button.title = text("attach");
    input.setAttribute("aria-label", text("attach"));
    chips.replaceChildren(...files.map(chip));
    chips.hidden = files.length === 0;
    const free = left();
    const isTooLong = files.length > 0 && free !== null && total() > free;
    const values = { count: number(total()), room: number(Math.max(0, free ?? 0)) };
    const unseen = room.unseen(files);
    const fits = files.length === 0 || free === null ? "" : text(isTooLong ? "files_too_long" : "files_fit", values);
    warning.textContent = unseen || fits;
    warning.classList.toggle("error", isTooLong || Boolean(unseen));
    warning.hidden = !warning.textContent;
  }

  async function choose(file) {
    if (file.picture) return (await libraries.fileView()).showFile(file);
    const free = left();
    (await libraries.partChoice()).choosePart(file, free && Math.max(0, free - total() + file.tokens), (chosen) =>
      change(files.map((attached) => (attached === file ? chosen : attached))),
    );
  }

  // The files as a message keeps them; from then on, none is attached.
  function take() {
    const taken = files.map(({ whole, chosen, ...file }) => ({
      ...file,
      tokens: tokensOf(file),
      ...(whole && whole !== file.text ? { of: estimateTokens(whole) } : {}),
    }));
    if (files.length) change([]);
    return taken;
  }

  return { button, input, chips, warning, open, keep, add, paste, draw, take, files: () => files };
}
