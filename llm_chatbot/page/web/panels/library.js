// The list of conversations: by date, pinned ones first, with a search that shows the place.

import { below, currentLanguage, focused, iconButton, make, text } from "../common/dom.js";
import { ICONS } from "../common/icons.js";
import { onKey } from "../common/keys.js";
import { filesView } from "../exchange/files.js";
import { groupByDate, search as searched } from "./search.js";

/** @import { Chat } from "../conversation/chat.js" */
/** @import { Store } from "../store/store.js" */
/** @import { ServerState, WholeConversation } from "../types" */
/** @import { Found } from "./search.js" */

/**
 * @param {object} options
 * @param {ServerState} options.server
 * @param {Store} options.store
 * @param {Chat} options.chat
 * @param {(message: string | null) => void} options.opened called after a conversation was opened, at a message or not
 * @param {(undo: () => Promise<unknown>, shown: string | null) => void} options.removed called after Delete, with the id
 *   where the conversation was shown
 */
export function libraryView({ server, store, chat, opened, removed }) {
  const search = make("input", { type: "search", oninput: draw });
  const list = make("div", { class: "conversations", tabindex: -1 });
  const files = filesView({ server, store, chat, nameOf });
  const element = make("div", { class: "library" }, search, list, files.element);
  let renamed = null;
  let isPressed = false; // the pointer is down on the list: there is no click if its element is replaced meanwhile
  let round = 0;
  let answering = new Set(); // conversations in which an answer is expected

  /**
   * Its own name, or how its first question begins.
   *
   * @param {Pick<WholeConversation, "name" | "messages">} conversation
   */
  function nameOf({ name, messages }) {
    const first = messages.filter((message) => message.parent === null).sort((a, b) => a.created - b.created)[0];
    return (
      name || (first?.content ?? "").trim().slice(0, 80) || first?.attachments?.[0]?.name || text("new_conversation")
    );
  }

  async function draw() {
    if (renamed || isPressed) return;
    const drawing = ++round;
    const [{ conversations }, unfinished] = await Promise.all([store.exportAll(), store.unfinished()]);
    if (drawing !== round || renamed || isPressed) return;
    answering = new Set(unfinished.map((message) => message.conversation));
    search.placeholder = text("search");
    search.setAttribute("aria-label", text("search"));
    const found = new Map(searched(search.value, conversations).map((result) => [result.conversation.id, result]));
    const labels = { pinned: text("found_pinned"), week: text("found_week") };
    const groups = groupByDate(
      [...found.values()].map((result) => result.conversation),
      { language: currentLanguage(), labels },
    );
    const pressed = element.contains(document.activeElement) && focused()?.dataset.key;
    list.replaceChildren(
      ...groups.flatMap(({ label, conversations: members }) => [
        make("h3", {}, label),
        make(
          "ul",
          { "aria-label": label },
          members.map((conversation) => item(conversation, /** @type {Found} */ (found.get(conversation.id)))),
        ),
      ]),
    );
    if (found.size === 0)
      list.append(make("p", { class: "empty" }, text(conversations.length ? "nothing_found" : "no_conversations")));
    if (pressed) (below(list, `[data-key="${CSS.escape(pressed)}"]`) ?? list).focus();
    files.draw();
  }

  /**
   * @param {WholeConversation} conversation
   * @param {Found} found
   */
  function item(conversation, { places, more }) {
    const { id, pinned } = conversation;
    const name = nameOf(conversation);
    const isCurrent = id === chat.conversation.id;
    const tool = (key, icon, act, pressed) =>
      iconButton(ICONS[icon], `${text(key)}: ${name}`, act, {
        "data-key": `${key === "unpin" ? "pin" : key}-${id}`,
        "aria-pressed": pressed,
      });
    return make(
      "li",
      { class: isCurrent ? "current" : null },
      make(
        "div",
        { class: "row" },
        make(
          "button",
          {
            class: "open",
            type: "button",
            dir: "auto",
            title: name,
            "data-key": `open-${id}`,
            "aria-current": String(isCurrent),
            onclick: () => open(id),
          },
          name,
        ),
        answering.has(id) &&
          make(
            "span",
            { class: "pulse", role: "img", "aria-label": text("answering") },
            make("i"),
            make("i"),
            make("i"),
          ),
        tool(
          pinned ? "unpin" : "pin",
          "pin",
          () => store.putConversation({ id, pinned: !pinned }),
          String(Boolean(pinned)),
        ),
        tool("rename", "pen", (event) => rename(event, conversation, name)),
        tool("delete", "bin", () => remove(id)),
      ),
      places.filter(({ message }) => message).map((place) => found(id, place)),
      more ? make("p", { class: "hint" }, text("found_more", { count: more })) : null,
    );
  }

  const found = (id, { message, before, match, after }) =>
    make(
      "button",
      { class: "found", type: "button", dir: "auto", onclick: () => open(id, message.id) },
      before,
      make("mark", {}, match),
      after,
    );

  async function remove(id) {
    const shown = id === chat.conversation.id ? id : null;
    removed(await store.removeConversation(id), shown);
  }

  async function open(id, message = null) {
    await chat.open(id, message);
    opened(message);
  }

  // With the key of the button, which gets the focus when the list is drawn.
  function rename(event, { id }, name) {
    const input = make("input", {
      type: "text",
      dir: "auto",
      value: name,
      "aria-label": text("name"),
      "data-key": `rename-${id}`,
    });
    const finish = async (keep) => {
      if (renamed !== id) return;
      renamed = null;
      if (keep) await store.putConversation({ id, name: input.value.trim() });
      draw();
    };
    onKey(input, (pressed) => {
      if (pressed.key === "Enter" || pressed.key === "Escape") finish(pressed.key === "Enter");
    });
    input.addEventListener("blur", () => finish(true));
    renamed = id;
    event.currentTarget.parentElement.replaceChildren(input);
    input.select();
  }

  function release() {
    if (!isPressed) return;
    isPressed = false;
    draw();
  }

  list.addEventListener("pointerdown", () => (isPressed = true));
  for (const end of ["pointerup", "pointercancel"]) window.addEventListener(end, release);
  return { element, draw, find: () => search.focus() };
}
