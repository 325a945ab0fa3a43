// Where a message is written. What is written is kept as a draft of its conversation.

import { make, text } from "./dom.js";

const DRAFT = "llm-chatbot.draft."; // in localStorage, which is written before the page is gone

export function composerView({ chat, sent }) {
  const box = make("textarea", { rows: 1, autofocus: true, name: "message" });
  const send = make("button", { type: "submit", id: "send", class: "primary" });
  const stop = make("button", { type: "button", id: "stop", onclick: stopAnswer });
  const element = make("form", { id: "composer", onsubmit: submit }, make("div", { id: "message" }, box), stop, send);
  let conversation = null;

  function keepDraft() {
    const key = DRAFT + conversation;
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
    if (!box.value.trim()) return;
    const written = box.value;
    box.value = "";
    keepDraft();
    fit();
    chat.send(written);
    sent();
  }

  function stopAnswer() {
    chat.stop();
    box.focus();
  }

  box.addEventListener("input", () => (keepDraft(), fit()));
  box.addEventListener("keydown", (event) => {
    // While an input method composes, Enter chooses a word.
    if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === 229) return;
    submit(event);
  });

  function draw() {
    if (conversation !== chat.conversation.id) {
      conversation = chat.conversation.id;
      box.value = localStorage.getItem(DRAFT + conversation) ?? "";
      fit();
    }
    box.placeholder = text("type_a_message");
    box.setAttribute("aria-label", text("message"));
    send.textContent = text("send");
    stop.textContent = text("stop");
    stop.hidden = !chat.running();
  }

  return { element, draw, focus: () => box.focus(), stop: stopAnswer };
}
