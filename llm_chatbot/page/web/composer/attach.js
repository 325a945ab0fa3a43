// The files that are attached to the message being written: chosen, dropped or pasted; and what of them goes in.

import { currentLanguage, iconButton, make, number, text } from "../common/dom.js";
import { ICONS } from "../common/icons.js";
import * as libraries from "../common/libraries.js";
import { ACCEPT, estimateTokens } from "./message_text.js";

/** @import { Store } from "../store/store.js" */
/** @import { Attachment, TextValues } from "../types" */

const PASTED = 4000; // characters from which on pasted text becomes a file
const CHARACTERS_OF_A_TOKEN = 3; // for parts that fit: fewer than most texts have
const SHARE_OF_A_PART = 1 / 8; // of the room that there is

const kept = (conversation) => `files.${conversation}`; // in the store

/**
 * @param {object} options
 * @param {Store} options.store
 * @param {() => number | null} options.room tokens that the next message may have; null: not known
 * @param {(key: string, values?: TextValues) => void} options.say shows a sentence
 * @param {() => void} options.changed called after files were added or removed
 * @param {() => boolean} options.isTemporary nothing of the conversation is stored
 */
export function attachView({ store, room, say, changed, isTemporary }) {
  const input = make("input", { type: "file", accept: ACCEPT, multiple: true, hidden: true, onchange: choose });
  const button = iconButton(ICONS.clip, "", () => input.click());
  const chips = make("ul", { class: "files" });
  const warning = make("p", { class: "hint warning", role: "status" });
  const chooser = make("dialog", { class: "parts" });
  let conversation = "";
  let isStored = false; // files of this conversation are in the store
  /** @type {Map<string, typeof files>} */
  const inMemory = new Map(); // of temporary conversations
  /** @type {(Attachment & { tokens: number; whole?: string; chosen?: string[] })[]} */
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
    const { readFile, UnreadableFile } = await libraries.attachments();
    for (const file of list) {
      try {
        const { name, text: content } = await readFile(file, currentLanguage());
        if (target === conversation) change([...files, { name, text: content, tokens: estimateTokens(content) }]);
      } catch (error) {
        if (!(error instanceof UnreadableFile)) throw error;
        say(error.key, error.values);
      }
    }
    const free = room();
    if (free !== null && total() > free)
      choosePart(files.reduce((largest, file) => (file.tokens > largest.tokens ? file : largest)));
  }

  async function choose() {
    await add([...(input.files ?? [])]);
    input.value = "";
  }

  const total = () => files.reduce((sum, { tokens }) => sum + tokens, 0);

  function paste(event) {
    const content = event.clipboardData.getData("text/plain");
    // Office programs put a picture of the text beside it.
    const pasted = [...event.clipboardData.files].filter((file) => !content || !file.type.startsWith("image/"));
    if (pasted.length === 0 && content.length >= PASTED)
      pasted.push(new File([content], text("pasted_name"), { type: "text/plain" }));
    if (pasted.length === 0) return;
    event.preventDefault();
    add(pasted);
  }

  function chip(file) {
    const size = make("small", {}, text("about_tokens", { count: number(file.tokens) }));
    return make(
      "li",
      {},
      make(
        "button",
        { type: "button", class: "choose", title: text("choose_parts"), onclick: () => choosePart(file) },
        file.name,
      ),
      size,
      iconButton(ICONS.close, text("remove_file", { name: file.name }), () =>
        change(files.filter((attached) => attached !== file)),
      ),
    );
  }

  function draw() {
    button.setAttribute("aria-label", text("attach"));
    button.title = text("attach");
    input.setAttribute("aria-label", text("attach"));
    chips.replaceChildren(...files.map(chip));
    chips.hidden = files.length === 0;
    const free = room();
    const isTooLong = files.length > 0 && free !== null && total() > free;
    const values = { count: number(total()), room: number(Math.max(0, free ?? 0)) };
    warning.textContent =
      files.length === 0 || free === null ? "" : text(isTooLong ? "files_too_long" : "files_fit", values);
    warning.classList.toggle("error", isTooLong);
    warning.hidden = !warning.textContent;
  }

  // The reader chooses what of a long text goes in.
  async function choosePart(file) {
    const { parts } = await import("./parts.js");
    const whole = file.whole ?? file.text;
    const left = room();
    const free = left === null ? estimateTokens(whole) : Math.max(0, left - total() + file.tokens);
    const list = parts(whole, Math.max(500, Math.round(free * SHARE_OF_A_PART * CHARACTERS_OF_A_TOKEN)));
    const boxes = list.map((part) => {
      const box = make("input", {
        type: "checkbox",
        checked: file.chosen?.includes(part.text) ?? file.whole === undefined,
      });
      return {
        part,
        box,
        row: make(
          "label",
          {},
          box,
          make("span", {}, text(part.key, part.values)),
          make("small", {}, text("about_tokens", { count: number(estimateTokens(part.text)) })),
        ),
      };
    });
    const sum = make("p", { class: "hint", role: "status" });
    const chosen = () => boxes.filter(({ box }) => box.checked).map(({ part }) => part.text);
    const count = () => {
      const tokens = estimateTokens(chosen().join(""));
      sum.textContent = text("chosen_of_room", { count: number(tokens), room: number(free) });
      sum.classList.toggle("error", tokens > free);
    };
    const checkAll = (checked) => {
      boxes.forEach(({ box }) => (box.checked = checked));
      count();
    };
    boxes.forEach(({ box }) => box.addEventListener("change", count));
    const use = () => {
      const chosenParts = chosen();
      const content = chosenParts.join("");
      if (content)
        change(
          files.map((attached) =>
            attached === file
              ? { name: file.name, text: content, tokens: estimateTokens(content), whole, chosen: chosenParts }
              : attached,
          ),
        );
    };
    chooser.setAttribute("aria-label", text("choose_parts"));
    chooser.replaceChildren(
      make(
        "form",
        { method: "dialog", onsubmit: use },
        make("h2", {}, file.name),
        make("p", { class: "hint" }, text("choose_parts")),
        make(
          "div",
          { class: "row" },
          make("button", { type: "button", class: "text-button", onclick: () => checkAll(true) }, text("all_parts")),
          make("button", { type: "button", class: "text-button", onclick: () => checkAll(false) }, text("no_parts")),
        ),
        make(
          "div",
          { class: "list" },
          boxes.map(({ row }) => row),
        ),
        sum,
        make(
          "div",
          { class: "row end" },
          make("button", { type: "button", class: "text-button", onclick: () => chooser.close() }, text("cancel")),
          make("button", { class: "primary" }, text("use_parts")),
        ),
      ),
    );
    count();
    if (!chooser.open) chooser.showModal();
  }

  // The files as a message keeps them; from then on, none is attached.
  function take() {
    const taken = files.map(({ name, text: content, tokens, whole }) => ({
      name,
      text: content,
      tokens,
      ...(whole && whole !== content ? { of: estimateTokens(whole) } : {}),
    }));
    if (files.length) change([]);
    return taken;
  }

  return { button, input, chips, warning, chooser, open, keep, add, paste, draw, take, files: () => files };
}
