// What the list of conversations shows and searches, kept in memory: of each change, only one conversation is read.

/** @import { Store } from "./store.js" */
/** @import { Conversation, Message, WholeConversation } from "../types" */

/**
 * @typedef {ReturnType<typeof openOverview>} Overview
 *
 * @param {Pick<Store, "conversations" | "head" | "read" | "exportAll" | "subscribe">} store
 */
export function openOverview(store) {
  /** @type {Map<string, Message[]>} */
  const first = new Map(); // the messages that name the conversations without a name
  /** @type {Map<string, WholeConversation> | null} */
  let whole = null; // all conversations with their messages, from the first search on
  /** @type {Promise<Map<string, Conversation>> | null} */
  let known = null; // all conversations that were not deleted, as they were read last
  /** @type {Set<string>} */
  const changed = new Set(); // ids of those that are to be read again
  /** @type {Promise<unknown>} */
  let reading = Promise.resolve(); // one at a time, so that who comes later gets what is being read
  /** @type {Map<string, number>} */
  const changes = new Map(); // how many there were of a conversation

  store.subscribe(({ conversation: id, message }) => {
    if (!id) return;
    changes.set(id, (changes.get(id) ?? 0) + 1);
    whole?.delete(id);
    if (message) return; // an answer has grown, and nothing else of its conversation has changed
    first.delete(id);
    changed.add(id);
  });

  /** @returns {Promise<Conversation[]>} the latest first */
  async function conversations() {
    const read = reading.then(readChanged);
    reading = read.catch(() => {}); // a failure is its caller's
    const byId = await read;
    return [...byId.values()].sort((a, b) => (b.updated ?? 0) - (a.updated ?? 0));
  }

  async function readChanged() {
    known ??= store.conversations().then((all) => new Map(all.map((each) => [each.id, each])));
    const byId = await known;
    const ids = [...changed];
    changed.clear(); // what changes from here on is read the next time
    for (const [index, head] of (await Promise.all(ids.map(store.head))).entries()) {
      if (head && !head.removed && !head.temporary) byId.set(ids[index], head);
      else byId.delete(ids[index]);
    }
    return byId;
  }

  /**
   * All conversations that were not deleted, the latest first. `messages` are those that its name may come from.
   *
   * @returns {Promise<WholeConversation[]>}
   */
  async function heads() {
    return Promise.all((await conversations()).map(async (head) => ({ ...head, messages: await naming(head) })));
  }

  /** @param {Conversation} head */
  async function naming({ id, name, title }) {
    if (name || title) return [];
    const cached = first.get(id);
    if (cached) return cached;
    const before = changes.get(id);
    const { messages } = await store.read(id);
    const naming = messages.filter(({ parent }) => parent === null);
    if (changes.get(id) === before) first.set(id, naming);
    return naming;
  }

  /**
   * The same with all their messages.
   *
   * @returns {Promise<WholeConversation[]>}
   */
  async function all() {
    whole ??= new Map((await store.exportAll()).conversations.map((each) => [each.id, each]));
    const cached = whole;
    return Promise.all(
      (await conversations()).map(async (head) => {
        const before = changes.get(head.id);
        const messages = cached.get(head.id)?.messages ?? (await store.read(head.id)).messages;
        const conversation = { ...head, messages };
        if (changes.get(head.id) === before) cached.set(head.id, conversation);
        return conversation;
      }),
    );
  }

  return { heads, all };
}
