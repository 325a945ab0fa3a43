// The conversations, which are saved only in this browser (IndexedDB). No part of it draws anything.
// See `Conversation` and `Message` in types.d.ts.

import { openDB } from "../../vendor/idb.js";
import { inOrder } from "./branches.js";
import { openJournal } from "./journal.js";
import { openTemporary } from "./temporary.js";

/** @import { Change, Conversation, Message, StorageFailure, WholeConversation } from "../types" */

const DATABASE = "llm-chatbot";
const KEEP_REMOVED = 10 * 60 * 1000; // milliseconds in which Delete can be undone

/**
 * `crypto.randomUUID` exists only with https and on localhost.
 *
 * @returns {string}
 */
export const newId = () => Date.now().toString(36) + Math.random().toString(36).slice(2, 12);

/**
 * Whether an update may replace what is stored: what a later state of a message must not lose.
 *
 * @param {Message} stored
 * @param {Partial<Message>} update
 * @returns {boolean}
 */
export function newer(stored, update) {
  if (stored.finish_reason) return false;
  return Boolean(update.finish_reason) || (update.content ?? "").length >= stored.content.length;
}

const hasMore = (stored, message) =>
  newer(stored, message) && (stored.content !== message.content || stored.finish_reason !== message.finish_reason);

/**
 * A message as it is stored: one that the server still owes is marked, so that the index finds it.
 *
 * @param {Message} message
 * @returns {Message}
 */
function marked({ open, unsaved, ...message }) {
  return message.role !== "user" && !message.finish_reason ? { ...message, open: 1 } : message;
}

/**
 * Why something could not be saved.
 *
 * @param {any} error
 * @returns {StorageFailure}
 */
export const failure = (error) => (error?.name === "QuotaExceededError" ? "storage_full" : "storage_failed");

const openDatabase = () =>
  openDB(DATABASE, 1, {
    upgrade(database) {
      database.createObjectStore("conversations", { keyPath: "id" });
      const messages = database.createObjectStore("messages", { keyPath: "id" });
      messages.createIndex("conversation", "conversation");
      messages.createIndex("open", "open"); // only those that have it: see `marked`
      database.createObjectStore("values"); // presets and such, each under a name
    },
  });

/**
 * Opens the storage. `subscribe(listener)` calls the listener after each change, of this tab and of others.
 *
 * @typedef {Awaited<ReturnType<typeof openStore>>} Store
 */
export async function openStore() {
  const database = await openDatabase();
  const journal = openJournal();
  const temporary = openTemporary();
  const channel = new BroadcastChannel(DATABASE);
  /** @type {Set<(change: Change) => unknown>} */
  const listeners = new Set();
  const tell = (change) => Promise.all([...listeners].map((listener) => listener(change)));
  channel.onmessage = async ({ data }) => {
    if (journal.conversations().has(data.conversation)) await addOpen(); // another tab may have had room for it
    tell(data);
  };

  /**
   * Resolves when this tab's listeners have taken the change over.
   *
   * @param {Change} change
   */
  function changed(change) {
    channel.postMessage(change);
    return tell(change);
  }

  // Runs `work(stores…)` in one transaction and resolves when it is on the disk.
  async function write(names, work) {
    try {
      const transaction = database.transaction(names, "readwrite");
      const [result] = await Promise.all([
        work(...names.map((name) => transaction.objectStore(name))),
        transaction.done,
      ]);
      return result;
    } catch (error) {
      tell({ error: failure(error) });
      throw error;
    }
  }

  /**
   * All conversations that were not deleted, without their messages; the latest first.
   *
   * @returns {Promise<Conversation[]>}
   */
  async function conversations() {
    const byId = new Map(
      (await database.getAll("conversations")).map((conversation) => [conversation.id, conversation]),
    );
    for (const id of journal.conversations()) byId.set(id, { ...byId.get(id), ...journal.head(id) });
    const kept = [...byId.values()].filter((conversation) => !conversation.removed);
    return kept.sort((a, b) => b.updated - a.updated);
  }

  /**
   * A conversation without its messages, also one that was deleted lately.
   *
   * @param {string} id
   * @returns {Promise<Conversation | undefined>} undefined: there is none
   */
  async function head(id) {
    if (temporary.has(id)) return temporary.read(id)?.conversation;
    const stored = await database.get("conversations", id);
    const unsaved = journal.head(id);
    return unsaved ? { ...stored, ...unsaved } : stored;
  }

  // Messages of the database with those that it has no room for.
  function withUnsaved(stored, conversation) {
    const ids = new Set(stored.map(({ id }) => id));
    return [...stored, ...journal.messages(conversation).filter(({ id }) => !ids.has(id))];
  }

  /**
   * A conversation and its messages as they are at one moment, with what could not be saved.
   *
   * @param {string} id
   * @returns {Promise<{ conversation?: Conversation; messages: Message[] }>}
   */
  async function read(id) {
    const own = temporary.read(id);
    if (own) return own;
    const transaction = database.transaction(["conversations", "messages"]);
    const stored = transaction.objectStore("messages").index("conversation").getAll(id);
    const [conversation, messages] = await Promise.all([transaction.objectStore("conversations").get(id), stored]);
    const unsaved = journal.head(id);
    return {
      conversation: unsaved ? { ...conversation, ...unsaved } : conversation,
      messages: withUnsaved(messages, id),
    };
  }

  /**
   * The answers that the server still owes, of all conversations that were not deleted.
   *
   * @returns {Promise<Message[]>}
   */
  async function unfinished() {
    const stored = await database.getAllFromIndex("messages", "open");
    const unsaved = [...journal.conversations()].flatMap(journal.messages).filter((message) => marked(message).open);
    const open = [...stored, ...unsaved, ...temporary.messages().filter((message) => marked(message).open)];
    const heads = await Promise.all([...new Set(open.map(({ conversation }) => conversation))].map(head));
    const kept = new Set(heads.filter((each) => each && !each.removed).map((each) => each?.id));
    return open.filter((message) => kept.has(message.conversation));
  }

  /**
   * Adds messages to a conversation and changes the conversation, in one transaction. What could not be saved is told,
   * read like all others as long as this tab is open, and tried again with what is added next and when the page is
   * opened again.
   *
   * @param {Partial<Conversation> & { id: string }} conversation
   * @param {Message[]} messages
   */
  async function add(conversation, messages) {
    if (conversation.temporary || temporary.has(conversation.id)) {
      temporary.add(conversation, messages);
      await tell({ conversation: conversation.id });
      return;
    }
    journal.note(conversation, messages);
    await addOpen();
  }

  // Each by itself, so that none keeps another from being saved.
  async function addOpen() {
    for (const addition of journal.open()) {
      try {
        await addToDatabase(addition);
      } catch (error) {
        if (!(error instanceof DOMException)) throw error; // not the database's
        addition.failure = failure(error);
        await tell({ conversation: addition.conversation.id }); // only this tab has it
        continue;
      }
      journal.done(addition);
      await changed({ conversation: addition.conversation.id });
    }
  }

  // Another tab may have found it in the journal, and have gone on.
  const addToDatabase = ({ conversation, messages }) =>
    write(["conversations", "messages"], async (heads, bodies) => {
      const stored = await Promise.all(messages.map(({ id }) => bodies.get(id)));
      if (!stored.every(Boolean)) heads.put({ ...(await heads.get(conversation.id)), ...conversation });
      messages.forEach((message, index) => {
        if (!stored[index] || hasMore(stored[index], message)) bodies.put(marked(message));
      });
    });

  /**
   * Adds what is new of an answer, and resolves when this tab has taken over what is stored then. An older state than
   * the stored one, or an answer that nobody knows any more, is ignored.
   *
   * @param {Partial<Message> & { id: string }} update
   */
  async function updateAnswer(update) {
    const unsaved = temporary.update(update, newer) ?? journal.update(update, newer);
    if (unsaved)
      return tell({ conversation: unsaved.conversation, message: unsaved.id, grows: !unsaved.finish_reason });
    let stored;
    let isNewer;
    await write(["messages"], async (store) => {
      stored = await store.get(update.id);
      isNewer = stored && newer(stored, update);
      if (!isNewer) return;
      stored = marked({ ...stored, ...update });
      store.put(stored);
    });
    if (!stored) return;
    const change = { conversation: stored.conversation, message: stored.id, grows: !stored.finish_reason };
    await (isNewer ? changed(change) : tell(change)); // where another tab was first, only this one is behind
  }

  /**
   * Changes what is given of a conversation; the rest stays as another tab may have left it.
   *
   * @param {Partial<Conversation> & { id: string }} conversation
   */
  async function putConversation(conversation) {
    if (temporary.has(conversation.id)) {
      temporary.add(conversation);
      return tell({ conversation: conversation.id });
    }
    journal.change(conversation);
    await write(["conversations"], async (store) =>
      store.put({ ...((await store.get(conversation.id)) ?? journal.head(conversation.id)), ...conversation }),
    );
    changed({ conversation: conversation.id });
  }

  /**
   * @param {string} id
   * @returns {Promise<() => Promise<unknown>>} brings the conversation back
   */
  async function removeConversation(id) {
    const mark = async (removed) => {
      await write(["conversations"], async (store) => {
        const stored = await store.get(id);
        if (stored) store.put({ ...stored, removed });
      });
      journal.change({ id, removed });
      changed({ conversation: id });
    };
    try {
      await mark(Date.now());
    } catch (error) {
      if (failure(error) !== "storage_full") throw error;
      return erase(id); // there is room for nothing, not even for the mark
    }
    return () => mark(undefined);
  }

  async function erase(id) {
    const { conversation, messages } = await read(id);
    await write(["conversations", "messages"], (heads, bodies) => deleteIn(heads, bodies, id));
    changed({ conversation: id });
    return () => importAll({ conversations: [/** @type {WholeConversation} */ ({ ...conversation, messages })] });
  }

  async function deleteIn(heads, bodies, id) {
    heads.delete(id);
    (await bodies.index("conversation").getAllKeys(id)).forEach((key) => bodies.delete(key));
  }

  /**
   * @param {string} name
   * @returns {Promise<any>} undefined: nothing is stored under the name
   */
  const value = (name) => database.get("values", name);

  /**
   * @param {string} name
   * @param {unknown} content
   */
  async function putValue(name, content) {
    await write(["values"], (store) => store.put(content, name));
    changed({ value: name });
  }

  /**
   * All conversations that were not deleted.
   *
   * @returns {Promise<{ conversations: WholeConversation[] }>} the format of exported files
   */
  async function exportAll() {
    const [heads, bodies] = await Promise.all([conversations(), database.getAll("messages")]);
    const byConversation = Map.groupBy(bodies, (message) => message.conversation);
    /** @param {string} id @returns {Message[]} */
    const messagesOf = (id) =>
      withUnsaved(byConversation.get(id) ?? [], id)
        .map(({ open, unsaved, ...message }) => message)
        .sort(inOrder);
    return { conversations: heads.map((head) => ({ ...head, messages: messagesOf(head.id) })) };
  }

  /**
   * Adds the conversations and messages whose ids are not there yet. A conversation that was deleted comes back.
   *
   * @param {{ conversations: WholeConversation[] }} imported
   * @returns {Promise<{ added: number; known: number }>} of the conversations
   */
  async function importAll({ conversations: incoming }) {
    let added = 0;
    await write(["conversations", "messages"], async (heads, bodies) => {
      for (const { messages: incomingMessages, ...conversation } of incoming) {
        const known = await heads.get(conversation.id);
        let isNew = !known || Boolean(known.removed);
        if (isNew) heads.put({ ...(known ?? conversation), removed: undefined });
        for (const message of incomingMessages) {
          if (await bodies.getKey(message.id)) continue;
          isNew = true;
          bodies.put(marked({ ...message, conversation: conversation.id }));
        }
        if (isNew) added += 1;
      }
    });
    incoming.forEach(({ id }) => changed({ conversation: id }));
    return { added, known: incoming.length - added };
  }

  // What a reload interrupted, and what was deleted a while ago.
  async function tidy() {
    await addOpen();
    await write(["conversations", "messages"], async (heads, bodies) => {
      for (const { id, removed } of await heads.getAll()) {
        if (removed && removed <= Date.now() - KEEP_REMOVED) await deleteIn(heads, bodies, id);
      }
    });
  }
  await tidy();

  return {
    conversations,
    head,
    read,
    unfinished,
    add,
    updateAnswer,
    putConversation,
    removeConversation,
    value,
    putValue,
    exportAll,
    importAll,
    subscribe: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}
