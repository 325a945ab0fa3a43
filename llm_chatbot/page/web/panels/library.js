// The list of conversations: pinned ones, folders, then by date, and the archive; with a search that shows the place.

import { arrange, below, currentLanguage, focused, iconButton, make, text } from "../common/dom.js";
import { ICONS } from "../common/icons.js";
import { onKey } from "../common/keys.js";
import { menuOf } from "../common/popup.js";
import { nameOf } from "../conversation/name.js";
import { filesView } from "../exchange/files.js";
import { post, whyFailed } from "../server/requests.js";
import { openOverview } from "../store/overview.js";
import { rowList } from "./row_list.js";
import { drawRow } from "./rows.js";
import { groups, prepare, search as searched } from "./search.js";

/** @import { Chat } from "../conversation/chat.js" */
/** @import { Store } from "../store/store.js" */
/** @import { ServerState, WholeConversation } from "../types" */
/** @import { RowActions } from "./rows.js" */
/** @import { Found, Group } from "./search.js" */

const FOLDED = "llm-chatbot.folded"; // in localStorage: the groups that were closed by hand

/**
 * @typedef {object} DrawnGroup
 * @property {HTMLElement} element
 * @property {HTMLElement} title
 * @property {HTMLElement} rows
 * @property {HTMLElement} [count]
 * @property {() => void} draw its rows
 *
 * @param {object} options
 * @param {ServerState} options.server
 * @param {Store} options.store
 * @param {Chat} options.chat
 * @param {() => Promise<Element>} options.drawn the messages that are shown, all drawn
 * @param {(message: string | null) => void} options.opened called after a conversation was opened, at a message or not
 * @param {(undo: () => Promise<unknown>, shown: string | null, count: number) => void} options.removed called after
 *   Delete, with the id where the conversation was shown
 */
export function libraryView({ server, store, chat, drawn, opened, removed }) {
  const overview = openOverview(store);
  const search = make("input", {
    type: "search",
    oninput: draw,
    onfocus: async () => prepare(await overview.all()),
  });
  const list = make("div", { class: "conversations", tabindex: -1 });
  const rows = rowList(list);
  const empty = make("p", { class: "empty" });
  const files = filesView({ server, store, chat, drawn });
  const bar = make("div", { class: "several", role: "toolbar", hidden: true });
  const element = make("div", { class: "library" }, search, bar, list, files.element);
  const opener = iconButton(ICONS.dots, "");
  const menu = menuOf(
    opener,
    () => text("list_actions"),
    () => [
      { name: text("choose_several"), act: chooseSeveral },
      { name: text("export_json"), act: files.exportAll },
      { name: text("export_markdown"), act: files.exportShown },
      { name: text("export_html"), act: files.exportPage },
      { name: text("import"), act: files.choose },
    ],
  );
  const closed = new Set(JSON.parse(localStorage.getItem(FOLDED) ?? '["archived"]'));
  /** @type {Set<string> | null} */
  let chosen = null; // ids, while several are chosen
  /** @type {WholeConversation[]} */
  let shown = [];
  /** @type {Map<string, DrawnGroup>} */
  const drawnGroups = new Map();
  let renamed = null;
  let isPressed = false; // the pointer is down on the list: there is no click if its element is replaced meanwhile
  let round = 0;
  let answering = new Set(); // conversations in which an answer is expected

  const isSearching = () => search.value.trim() !== "";
  const isBusy = () => renamed || isPressed || list.querySelector(".popup:not([hidden])");

  async function draw() {
    if (isBusy()) return;
    const drawing = ++round;
    const reads = isSearching() ? overview.all() : overview.heads();
    const [conversations, unfinished] = await Promise.all([reads, store.unfinished()]);
    if (drawing !== round || isBusy()) return;
    answering = new Set(unfinished.map((message) => message.conversation));
    search.placeholder = text("search");
    search.setAttribute("aria-label", text("search"));
    opener.title = text("list_actions");
    opener.setAttribute("aria-label", text("list_actions"));
    const found = new Map(searched(search.value, conversations).map((result) => [result.conversation.id, result]));
    shown = [...found.values()].map((result) => result.conversation);
    const labels = { pinned: text("found_pinned"), week: text("found_week"), archived: text("archived") };
    const pressed = element.contains(document.activeElement) && focused()?.dataset.key;
    let place = 0;
    const drawn = groups(shown, { language: currentLanguage(), labels }).map((group) => {
      const first = place;
      place += group.conversations.length;
      return groupOf(group, found, first);
    });
    empty.textContent = text(conversations.length ? "nothing_found" : "no_conversations");
    arrange(list, found.size === 0 ? [empty] : drawn);
    rows.keepOnly(new Set(conversations.map(({ id }) => id)));
    if (pressed && focused()?.dataset.key !== pressed)
      (below(list, `[data-key="${CSS.escape(pressed)}"]`) ?? list).focus();
    drawBar();
    files.draw();
  }

  /**
   * @param {Group} group
   * @param {Map<string, Found>} found
   * @param {number} first place of its conversations in the list
   */
  function groupOf({ key, label, isFolder, conversations }, found, first) {
    const group = drawnGroups.get(key) ?? (isFolder ? folderGroup(key) : datedGroup());
    drawnGroups.set(key, group);
    group.title.textContent = label;
    group.rows.setAttribute("aria-label", label);
    group.draw = () =>
      arrange(
        group.rows,
        conversations.map((conversation, index) =>
          item(conversation, /** @type {Found} */ (found.get(conversation.id)), first + index),
        ),
      );
    if (group.count) group.count.textContent = String(conversations.length);
    if (group.element instanceof HTMLDetailsElement) group.element.open = !closed.has(key) || isSearching();
    if (!(group.element instanceof HTMLDetailsElement) || group.element.open) group.draw();
    else group.rows.replaceChildren();
    return group.element;
  }

  /** @returns {DrawnGroup} */
  function datedGroup() {
    const title = make("h3");
    const rows = make("ul");
    return { element: make("section", {}, title, rows), title, rows, draw: () => {} };
  }

  /**
   * A group that can be closed.
   *
   * @param {string} key
   * @returns {DrawnGroup}
   */
  function folderGroup(key) {
    const title = make("h3");
    const count = make("small");
    const rows = make("ul");
    // At once, and not with the event "toggle", which comes after the list may have been drawn again.
    const onclick = (event) => {
      event.preventDefault();
      element.open = !element.open;
      if (element.open) group.draw();
      if (isSearching()) return;
      if (element.open) closed.delete(key);
      else closed.add(key);
      localStorage.setItem(FOLDED, JSON.stringify([...closed]));
    };
    const element = make("details", {}, make("summary", { onclick }, title, count), rows);
    const group = { element, title, count, rows, draw: () => {} };
    return group;
  }

  /**
   * @param {WholeConversation} conversation
   * @param {Found} found
   * @param {number} place in the list
   */
  function item(conversation, { places, more }, place) {
    const { id, pinned, archived, folder } = conversation;
    const name = nameOf(conversation);
    const [isCurrent, isAnswering] = [id === chat.conversation.id, answering.has(id)];
    const isChosen = chosen?.has(id) ?? null;
    const state = [name, pinned, archived, folder, isCurrent, isAnswering, isChosen, currentLanguage(), more];
    const found = places.map(({ message, before, match, after }) => [message?.id, before, match, after]);
    const draw = (element) =>
      drawRow(element, conversation, {
        isCurrent,
        isAnswering,
        chosen: isChosen,
        choose,
        open: (message) => open(id, message),
        places,
        more,
        actions,
      });
    const element = rows.row(id, { signature: JSON.stringify([state, found]), name, draw }, place);
    element.classList.toggle("current", isCurrent);
    return element;
  }

  /**
   * @param {string} id
   * @param {boolean} isChosen
   */
  function choose(id, isChosen) {
    if (isChosen) chosen?.add(id);
    else chosen?.delete(id);
    drawBar();
  }

  /** @type {RowActions} */
  const actions = {
    pin: ({ id, pinned }) => store.putConversation({ id, pinned: !pinned }),
    archive: ({ id, archived }) => store.putConversation({ id, archived: !archived }),
    move: (conversation) => move([conversation]),
    rename,
    exportOne: async ({ id }) => files.exportOne(id),
    remove: ({ id }) => remove([id]),
  };

  /** @param {WholeConversation[]} conversations */
  async function move(conversations) {
    const known = new Set(shown.map(({ folder }) => folder ?? "").filter(Boolean));
    const { askFolder } = await import("./folders.js");
    const folder = await askFolder([...known].sort(), conversations[0].folder ?? "");
    if (folder === null) return;
    for (const { id } of conversations) await store.putConversation({ id, folder });
  }

  /** @param {string[]} ids */
  async function remove(ids) {
    const current = ids.includes(chat.conversation.id) ? chat.conversation.id : null;
    const undos = [];
    for (const id of ids) undos.push(await store.removeConversation(id));
    removed(() => Promise.all(undos.map((undo) => undo())), current, ids.length);
  }

  /**
   * @param {string} id
   * @param {string | null} [message]
   */
  async function open(id, message = null) {
    await chat.open(id, message);
    opened(message);
  }

  // Several at once

  function chooseSeveral() {
    chosen = chosen ? null : new Set();
    draw();
  }

  function drawBar() {
    bar.hidden = !chosen;
    if (!chosen) return bar.replaceChildren();
    const selected = () => shown.filter(({ id }) => chosen?.has(id));
    const act = (key, work) =>
      make(
        "button",
        {
          type: "button",
          class: "text-button",
          disabled: chosen?.size === 0,
          onclick: async () => {
            await work(selected());
            chosen = null;
            draw();
          },
        },
        text(key),
      );
    bar.setAttribute("aria-label", text("choose_several"));
    bar.replaceChildren(
      make("span", { role: "status" }, text("chosen_count", { count: chosen.size })),
      act("archive", async (all) => {
        for (const { id } of all) await store.putConversation({ id, archived: true });
      }),
      act("move", move),
      act("delete", (all) => remove(all.map(({ id }) => id))),
      iconButton(ICONS.close, text("cancel"), chooseSeveral),
    );
  }

  // With the key of the row, which gets the focus when the list is drawn.
  function rename(conversation, row) {
    const { id } = conversation;
    const input = make("input", {
      type: "text",
      dir: "auto",
      value: nameOf(conversation),
      "aria-label": text("name"),
      "data-key": `open-${id}`,
    });
    const finish = async (keep) => {
      if (renamed !== id) return;
      renamed = null;
      rows.spoil(id);
      if (keep) await chat.rename(id, input.value.trim());
      draw();
    };
    onKey(input, (pressed) => {
      if (pressed.key === "Enter" || pressed.key === "Escape") finish(pressed.key === "Enter");
    });
    input.addEventListener("blur", () => finish(true));
    renamed = id;
    row.replaceChildren(input);
    input.select();
  }

  function release() {
    if (!isPressed) return;
    isPressed = false;
    draw();
  }

  list.addEventListener("pointerdown", () => (isPressed = true));
  for (const end of ["pointerup", "pointercancel"]) window.addEventListener(end, release);

  // What the server keeps on this machine's disk too, where whoever opened the page may delete that.
  async function deleteAll() {
    const ids = (await store.conversations()).map(({ id }) => id);
    if (ids.length) await remove(ids);
    if (server.get_models) await post("forget", {}).catch((error) => files.say(whyFailed(error, "server_down")));
  }

  return {
    element,
    menu,
    heads: overview.heads,
    open,
    draw,
    deleteAll,
    exportAll: files.exportAll,
    choose: files.choose,
    find: () => search.focus(),
  };
}
