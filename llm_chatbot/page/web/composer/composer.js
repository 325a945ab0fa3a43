// Where a message is written. What is written is kept as a draft of its conversation.

import { acted } from "../common/actions.js";
import { icon, make, text } from "../common/dom.js";
import { ICONS } from "../common/icons.js";
import { onKey } from "../common/keys.js";
import { attachView } from "./attach.js";
import { promptMenu } from "./prompt_menu.js";

/** @import { Chat } from "../conversation/chat.js" */
/** @import { Store } from "../store/store.js" */
/** @import { TextValues } from "../types" */
/** @import { Room } from "./room.js" */

const DRAFT = "llm-chatbot.draft."; // in localStorage, which is written before the page is gone
const TOUCH = window.matchMedia("(pointer: coarse)"); // there, the focus opens a keyboard over the page

/**
 * @param {object} options
 * @param {Store} options.store
 * @param {Chat} options.chat
 * @param {Room} options.room
 * @param {() => void} options.sent called after a message was sent
 * @param {(key: string, values?: TextValues) => void} options.say shows a sentence
 * @param {{ element: HTMLElement, draw: () => void } | null} options.knowledge the choice of collections
 * @param {{ element: HTMLElement, draw: () => void } | null} options.tools the choice of tools
 */
export function composerView({ store, chat, room, sent, say, knowledge, tools }) {
  const box = make("textarea", { dir: "auto", rows: 1, autofocus: true, name: "message" });
  const send = make("button", { type: "submit", id: "send", class: "primary round" }, icon(ICONS.up));
  const stop = make("button", { type: "button", id: "stop", class: "round", onclick: stopAnswer }, icon(ICONS.stop));
  const refused = make("p", { class: "hint warning error", role: "alert", hidden: true });
  const attach = attachView({
    store,
    room,
    left: () => room.left(box.value),
    say,
    changed: filesChanged,
    isTemporary: () => Boolean(chat.conversation.temporary),
  });
  const prompts = promptMenu({ store, box, insert });
  const line = make(
    "div",
    { class: "line" },
    attach.button,
    knowledge?.element,
    tools?.element,
    make("div", { id: "message" }, box),
    stop,
    send,
  );
  const element = make(
    "form",
    { id: "composer", onsubmit: submit },
    prompts.element,
    attach.chips,
    attach.warning,
    refused,
    line,
    attach.input,
  );
  let conversation = "";
  let isTemporary = false;
  /** @type {Map<string, string>} */
  const drafts = new Map(); // of temporary conversations

  function filesChanged() {
    refuse("");
    box.focus();
  }

  function refuse(why) {
    refused.textContent = why;
    refused.hidden = !why;
  }

  function keepDraft() {
    const key = DRAFT + conversation;
    if (chat.conversation.temporary) {
      drafts.set(conversation, box.value);
      localStorage.removeItem(key); // it may have been written before
      return;
    }
    drafts.delete(conversation);
    try {
      if (box.value) localStorage.setItem(key, box.value);
      else localStorage.removeItem(key);
    } catch {
      // Storage is full: the text is still in the box.
    }
  }

  function fit() {
    if (CSS.supports("field-sizing", "content")) return;
    box.style.height = "auto";
    box.style.height = `${Math.min(box.scrollHeight, 220)}px`;
  }

  function submit(event) {
    event?.preventDefault();
    if (!box.value.trim() && !attach.files().length) return box.focus();
    const written = box.value;
    refuse(room.refusal(written, attach.files()));
    if (!refused.hidden) return box.focus();
    box.value = "";
    keepDraft();
    fit();
    prompts.draw();
    acted();
    chat.send(written, attach.take());
    sent();
  }

  function stopAnswer() {
    chat.stop();
    box.focus();
  }

  function typed() {
    refuse("");
    keepDraft();
    fit();
    prompts.draw();
  }

  // As if it had been typed, so that Ctrl+Z takes it back.
  function insert(content) {
    box.select();
    if (!document.execCommand("insertText", false, content)) box.value = content;
    typed();
  }

  box.addEventListener("input", typed);
  box.addEventListener("paste", attach.paste);
  onKey(box, (event) => {
    if (prompts.takesKey(event)) return;
    if (event.key === "Enter" && !event.shiftKey) submit(event);
  });

  function name(button, key) {
    button.title = text(key);
    button.setAttribute("aria-label", text(key));
  }

  function draw() {
    if (conversation !== chat.conversation.id) {
      conversation = chat.conversation.id;
      box.value = drafts.get(conversation) ?? localStorage.getItem(DRAFT + conversation) ?? "";
      isTemporary = Boolean(chat.conversation.temporary);
      refuse("");
      fit();
      attach.open(conversation);
    } else if (isTemporary !== Boolean(chat.conversation.temporary)) {
      isTemporary = !isTemporary;
      keepDraft();
      attach.keep();
    }
    box.placeholder = text("type_a_message");
    box.setAttribute("aria-label", text("message"));
    name(send, "send");
    name(stop, "stop");
    stop.hidden = !chat.running();
    attach.draw();
    knowledge?.draw();
    tools?.draw();
  }

  return {
    element,
    draw,
    focus: () => box.focus(),
    isEmpty: () => !box.value && !attach.files().length,
    ready: () => TOUCH.matches || box.focus(),
    stop: stopAnswer,
    drop: attach.add,
  };
}

/**
 * Lets files be dropped anywhere on the page.
 *
 * @param {HTMLElement} page
 * @param {(files: File[]) => void} drop
 */
export function acceptDrops(page, drop) {
  const hasFiles = (event) => event.dataTransfer?.types.includes("Files");
  page.addEventListener("dragover", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    page.classList.add("dropping");
  });
  page.addEventListener("dragleave", (event) => event.relatedTarget ?? page.classList.remove("dropping"));
  page.addEventListener("drop", (event) => {
    page.classList.remove("dropping");
    if (!hasFiles(event)) return;
    event.preventDefault();
    drop([...(event.dataTransfer?.files ?? [])]);
  });
}
