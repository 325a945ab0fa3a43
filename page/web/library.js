// The list of conversations.

import { iconButton, make, text } from "./dom.js";
import { ICONS } from "./icons.js";

// isAnswering(id): whether an answer is expected in a conversation. removed(undo): called after Delete.
export function libraryView({ store, chat, isAnswering, opened, removed }) {
  const search = make("input", { type: "search", oninput: draw });
  const list = make("ul", { class: "conversations" });
  const element = make("div", { class: "library" }, search, list);
  let renamed = null;
  let round = 0;

  // Its own name, or how its first question begins.
  function nameOf({ name }, messages) {
    const first = messages.filter((it) => it.parent === null).sort((one, other) => one.created - other.created)[0];
    return name || (first?.content ?? "").trim().slice(0, 80) || text("new_conversation");
  }

  async function draw() {
    if (renamed) return;
    const own = ++round;
    const all = await store.conversations();
    const withMessages = await Promise.all(all.map(async (it) => [it, await store.messages(it.id)]));
    if (own !== round || renamed) return;
    const sought = search.value.trim().toLowerCase();
    const found = withMessages.filter(([it, messages]) =>
      [nameOf(it, messages), ...messages.map((message) => message.content)].some((line) => line.toLowerCase().includes(sought)),
    );
    search.placeholder = text("search");
    search.setAttribute("aria-label", text("search"));
    list.setAttribute("aria-label", text("conversations"));
    list.replaceChildren(...found.map(([it, messages]) => item(it, nameOf(it, messages))));
    if (found.length === 0) list.append(make("li", { class: "empty" }, text(all.length ? "nothing_found" : "no_conversations")));
  }

  function item(conversation, name) {
    const isCurrent = conversation.id === chat.conversation.id;
    const answering = isAnswering(conversation.id);
    return make(
      "li",
      { class: isCurrent ? "current" : null },
      make("button", { class: "open", title: name, "aria-current": String(isCurrent), onclick: () => open(conversation.id) }, name),
      answering && make("span", { class: "pulse", role: "img", "aria-label": text("answering") }, make("i"), make("i"), make("i")),
      iconButton(ICONS.pen, `${text("rename")}: ${name}`, (event) => rename(event, conversation, name)),
      iconButton(ICONS.bin, `${text("delete")}: ${name}`, () => remove(conversation)),
    );
  }

  async function open(id) {
    await chat.open(id);
    opened();
  }

  function rename(event, conversation, name) {
    const input = make("input", { type: "text", value: name, "aria-label": text("name") });
    const finish = async (keep) => {
      if (renamed !== conversation.id) return;
      renamed = null;
      if (keep) await store.putConversation({ id: conversation.id, name: input.value.trim() });
      await draw();
      [...list.querySelectorAll(".icon")].find((it) => it.getAttribute("aria-label").startsWith(text("rename")) && it.closest("li").querySelector(".open")?.textContent === (input.value.trim() || name))?.focus();
    };
    input.addEventListener("keydown", (pressed) => {
      if (pressed.key === "Enter" || pressed.key === "Escape") finish(pressed.key === "Enter");
    });
    input.addEventListener("blur", () => finish(true));
    renamed = conversation.id;
    event.currentTarget.parentElement.replaceChildren(input);
    input.select();
  }

  async function remove(conversation) {
    const undo = await store.removeConversation(conversation.id);
    removed(undo);
  }

  return { element, draw, find: () => search.focus() };
}
