// The conversations, which are saved only in this browser (IndexedDB). No part of it draws anything.
// See `Conversation` and `Message` in types.d.ts.

import { openDB } from "../../vendor/idb.js";

/** @import { Change, Conversation, Message, WholeConversation } from "../types" */

const DATABASE = "llm-chatbot";
const JOURNAL = "llm-chatbot.journal."; // in localStorage: what IndexedDB has not confirmed yet
const KEEP_REMOVED = 10 * 60 * 1000; // milliseconds in which Delete can be undone

/**
 * `crypto.randomUUID` exists only with https and on localhost.
 *
 * @returns {string}
 */
export const newId = () => Date.now().toString(36) + Math.random().toString(36).slice(2, 12);

/**
 * The messages from the first one to `leaf`. Unknown ids give an empty path.
 *
 * @param {Message[]} messages
 * @param {string | null} leaf
 * @returns {Message[]}
 */
export function pathTo(messages, leaf) {
  /** @type {Map<string | null, Message>} */
  const byId = new Map(messages.map((message) => [message.id, message]));
  const path = [];
  for (let message = byId.get(leaf); message; message = byId.get(message.parent)) {
    path.unshift(message);
    byId.delete(message.id); // a file from elsewhere could hold a circle
  }
  return path;
}

/** @param {Message} a @param {Message} b */
const inOrder = (a, b) => a.created - b.created || (a.id < b.id ? -1 : 1);

/**
 * The messages with the same parent and role, oldest first: the versions to choose from. An answer that was continued
 * is left out, because the longer one holds it, unless something was said after it.
 *
 * @param {Message[]} messages
 * @param {string} id
 * @returns {Message[]}
 */
export function siblings(messages, id) {
  const message = messages.find((candidate) => candidate.id === id);
  if (!message) return [];
  const continued = new Set(messages.map((message) => message.continues));
  const parents = new Set(messages.map((message) => message.parent));
  return messages
    .filter((candidate) => candidate.parent === message.parent && candidate.role === message.role)
    .filter((candidate) => candidate === message || !continued.has(candidate.id) || parents.has(candidate.id))
    .sort(inOrder);
}

/**
 * The end of the newest branch that goes through the message.
 *
 * @param {Message[]} messages
 * @param {string} id
 * @returns {string}
 */
export function newestLeaf(messages, id) {
  const children = (parent) => messages.filter((message) => message.parent === parent).sort(inOrder);
  let leaf = id;
  for (let next = children(leaf); next.length; next = children(leaf)) leaf = next[next.length - 1].id;
  return leaf;
}

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

/**
 * A message as it is stored: one that the server still owes is marked, so that the index finds it.
 *
 * @param {Message} message
 * @returns {Message}
 */
function marked({ open, ...message }) {
  return message.role === "assistant" && !message.finish_reason ? { ...message, open: 1 } : message;
}

/**
 * Why something could not be saved.
 *
 * @param {any} error
 * @returns {"storage_full" | "storage_failed"} the key of a text
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
  const channel = new BroadcastChannel(DATABASE);
  /** @type {Set<(change: Change) => unknown>} */
  const listeners = new Set();
  const tell = (change) => Promise.all([...listeners].map((listener) => listener(change)));
  channel.onmessage = ({ data }) => tell(data);

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

  async function conversations() {
    const all = await database.getAll("conversations");
    return all.filter((conversation) => !conversation.removed).sort((a, b) => b.updated - a.updated);
  }

  /**
   * A conversation and its messages as they are at one moment.
   *
   * @param {string} id
   * @returns {Promise<{ conversation?: Conversation; messages: Message[] }>}
   */
  async function read(id) {
    const transaction = database.transaction(["conversations", "messages"]);
    const stored = transaction.objectStore("messages").index("conversation").getAll(id);
    const [conversation, messages] = await Promise.all([transaction.objectStore("conversations").get(id), stored]);
    return { conversation, messages };
  }

  /**
   * The answers that the server still owes, of all conversations that were not deleted.
   *
   * @returns {Promise<Message[]>}
   */
  async function unfinished() {
    const kept = new Set((await conversations()).map(({ id }) => id));
    return (await database.getAllFromIndex("messages", "open")).filter((message) => kept.has(message.conversation));
  }

  const unsaved = []; // what `add` has not written yet, {entry, conversation, messages}

  /**
   * Adds messages to a conversation and changes the conversation, in one transaction. They are written to localStorage
   * at once, so that a question sent just before a reload is not lost. What could not be saved is tried again with what
   * is added next, and when the page is opened again.
   *
   * @param {Partial<Conversation> & { id: string }} conversation
   * @param {Message[]} messages
   */
  async function add(conversation, messages) {
    const entry = JOURNAL + newId();
    try {
      localStorage.setItem(entry, JSON.stringify({ conversation, messages }));
    } catch {
      // Full: IndexedDB, which holds far more, has to do alone.
    }
    unsaved.push({ entry, conversation, messages });
    const all = [...unsaved];
    await addToDatabase(all);
    unsaved.splice(0, unsaved.length, ...unsaved.filter((addition) => !all.includes(addition)));
    all.forEach((addition) => localStorage.removeItem(addition.entry));
    new Set(all.map((addition) => addition.conversation.id)).forEach((id) => changed({ conversation: id }));
  }

  const addToDatabase = (additions) =>
    write(["conversations", "messages"], async (heads, bodies) => {
      for (const { conversation, messages } of additions) {
        const known = await Promise.all(messages.map(({ id }) => bodies.getKey(id)));
        if (known.every(Boolean)) continue; // another tab found it in the journal, and may have gone on
        heads.put({ ...(await heads.get(conversation.id)), ...conversation });
        messages.forEach((message, index) => known[index] || bodies.put(marked(message)));
      }
    });

  /**
   * Adds what is new of an answer, and resolves when this tab has taken over what is stored then. An older state than
   * the stored one, or an answer that nobody knows any more, is ignored.
   *
   * @param {Partial<Message> & { id: string }} update
   */
  async function updateAnswer(update) {
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
    await write(["conversations"], async (store) =>
      store.put({ ...(await store.get(conversation.id)), ...conversation }),
    );
    changed({ conversation: conversation.id });
  }

  /**
   * @param {string} id
   * @returns {Promise<() => Promise<void>>} brings the conversation back
   */
  async function removeConversation(id) {
    const mark = async (removed) => {
      await write(["conversations"], async (store) => {
        const stored = await store.get(id);
        if (stored) store.put({ ...stored, removed });
      });
      changed({ conversation: id });
    };
    await mark(Date.now());
    return () => mark(undefined);
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
    const messagesOf = (id) => (byConversation.get(id) ?? []).map(({ open, ...message }) => message).sort(inOrder);
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
    const keys = Object.keys(localStorage).filter((key) => key.startsWith(JOURNAL));
    for (const key of keys) {
      const entry = localStorage.getItem(key);
      if (!entry) continue; // The tab that wrote it is done meanwhile.
      await addToDatabase([JSON.parse(entry)]).then(
        () => localStorage.removeItem(key),
        () => {},
      ); // full: the next time
    }
    await write(["conversations", "messages"], async (heads, bodies) => {
      for (const { id, removed } of await heads.getAll()) {
        if (!removed || removed > Date.now() - KEEP_REMOVED) continue;
        heads.delete(id);
        (await bodies.index("conversation").getAllKeys(id)).forEach((key) => bodies.delete(key));
      }
    });
  }
  await tidy();

  return {
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
