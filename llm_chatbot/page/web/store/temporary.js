// Temporary conversations: what of them there is, is in this tab's memory. Nothing is written, and no other tab is told.

/** @import { Conversation, Message } from "../types" */

export function openTemporary() {
  /** @type {Map<string, { conversation: Conversation; messages: Message[] }>} */
  const kept = new Map();
  const messageOf = (id) => [...kept.values()].flatMap(({ messages }) => messages).find((message) => message.id === id);

  return {
    /** @param {string} id of a conversation */
    has: (id) => kept.has(id),

    /**
     * @param {string} id
     * @returns {{ conversation: Conversation; messages: Message[] } | undefined} as copies
     */
    read: (id) => {
      const known = kept.get(id);
      return (
        known && { conversation: { ...known.conversation }, messages: known.messages.map((each) => ({ ...each })) }
      );
    },

    /**
     * @param {Partial<Conversation> & { id: string }} change
     * @param {Message[]} [added]
     */
    add: (change, added = []) => {
      const { conversation, messages } = kept.get(change.id) ?? { conversation: {}, messages: [] };
      const known = new Set(messages.map(({ id }) => id));
      kept.set(change.id, {
        conversation: /** @type {Conversation} */ ({ ...conversation, ...change }),
        messages: [...messages, ...added.filter(({ id }) => !known.has(id))],
      });
    },

    /**
     * Changes a message, if `accepts` it.
     *
     * @param {Partial<Message> & { id: string }} update
     * @param {(message: Message, update: Partial<Message>) => boolean} accepts
     * @returns {Message | undefined} as it is then; undefined: no such message is here
     */
    update: (update, accepts) => {
      const message = messageOf(update.id);
      if (message && accepts(message, update)) Object.assign(message, update);
      return message;
    },

    /** All messages. */
    messages: () => [...kept.values()].flatMap(({ messages }) => messages),
  };
}
