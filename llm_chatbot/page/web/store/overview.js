// What the list of conversations shows and searches, kept in memory: of each change, only one conversation is read.

/** @import { Store } from "./store.js" */
/** @import { Conversation, Message, WholeConversation } from "../types" */

/**
 * @typedef {ReturnType<typeof openOverview>} Overview
 *
 * @param {Pick<Store, "conversations" | "read" | "exportAll" | "subscribe">} store
 */
export function openOverview(store) {
  /** @type {Map<string, Message[]>} */
  const first = new Map(); // the messages that name the conversations without a name
  /** @type {Map<string, WholeConversation> | null} */
  let whole = null; // all conversations with their messages, from the first search on

  store.subscribe(({ conversation: id }) => {
    if (!id) return;
    first.delete(id);
    whole?.delete(id);
  });

  /**
   * All conversations that were not deleted, the latest first. `messages` are those that its name may come from.
   *
   * @returns {Promise<WholeConversation[]>}
   */
  async function heads() {
    const conversations = await store.conversations();
    return Promise.all(conversations.map(async (head) => ({ ...head, messages: await naming(head) })));
  }

  /** @param {Conversation} head */
  async function naming({ id, name }) {
    if (name) return [];
    const known = first.get(id);
    if (known) return known;
    const { messages } = await store.read(id);
    const naming = messages.filter(({ parent }) => parent === null);
    first.set(id, naming);
    return naming;
  }

  /**
   * The same with all their messages.
   *
   * @returns {Promise<WholeConversation[]>}
   */
  async function all() {
    whole ??= new Map((await store.exportAll()).conversations.map((each) => [each.id, each]));
    const known = whole;
    const conversations = await store.conversations();
    return Promise.all(
      conversations.map(async (head) => {
        const messages = known.get(head.id)?.messages ?? (await store.read(head.id)).messages;
        const conversation = { ...head, messages };
        known.set(head.id, conversation);
        return conversation;
      }),
    );
  }

  return { heads, all };
}
