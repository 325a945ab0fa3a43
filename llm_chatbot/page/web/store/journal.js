// What the database has not confirmed yet. It is kept in localStorage, which is written at once, so that a question sent
// just before a reload is not lost; and in memory, so that it is seen where both have no room.

/** @import { Conversation, Message, StorageFailure } from "../types" */

const JOURNAL = "llm-chatbot.journal.";

/**
 * Messages that are added to a conversation at a time, and the change of that conversation.
 *
 * @typedef {object} Addition
 * @property {string} key in localStorage
 * @property {Partial<Conversation> & { id: string }} conversation
 * @property {Message[]} messages
 * @property {StorageFailure} [failure] why the database didn't take it
 */

export function openJournal() {
  /** @type {Addition[]} */
  let additions = [];

  function write({ key, conversation, messages }) {
    try {
      localStorage.setItem(key, JSON.stringify({ conversation, messages }));
    } catch {
      // Full: the database, which holds far more, has to do alone.
    }
  }

  // Those of earlier visits that the database never took.
  for (const key of Object.keys(localStorage).filter((name) => name.startsWith(JOURNAL))) {
    const content = localStorage.getItem(key); // null: the tab that wrote it is done meanwhile
    if (content) additions.push({ key, ...JSON.parse(content) });
  }
  additions.sort((a, b) => a.messages[0].created - b.messages[0].created);

  const failed = (conversation) =>
    additions.filter((addition) => addition.failure && addition.conversation.id === conversation);

  return {
    /** All that is not confirmed. */
    open: () => [...additions],

    /**
     * @param {Addition["conversation"]} conversation
     * @param {Message[]} messages at least one
     */
    note: (conversation, messages) => {
      const addition = { key: JOURNAL + messages[0].id, conversation, messages };
      additions.push(addition);
      write(addition);
    },

    /** @param {Addition} confirmed */
    done: (confirmed) => {
      additions = additions.filter((addition) => addition !== confirmed);
      localStorage.removeItem(confirmed.key);
    },

    /**
     * Changes what could not be saved of a conversation; where all of it is saved, nothing.
     *
     * @param {Addition["conversation"]} change
     */
    change: (change) =>
      failed(change.id).forEach((addition) => {
        Object.assign(addition.conversation, change);
        write(addition);
      }),

    /**
     * The change of a conversation that could not be saved; undefined: there is none.
     *
     * @param {string} conversation id
     * @returns {Conversation | undefined}
     */
    head: (conversation) => {
      const changes = failed(conversation).map((addition) => addition.conversation);
      return changes.length ? /** @type {Conversation} */ (Object.assign({}, ...changes)) : undefined;
    },

    /** The ids of the conversations with something that could not be saved. */
    conversations: () =>
      new Set(additions.filter(({ failure }) => failure).map((addition) => addition.conversation.id)),

    /**
     * The messages that could not be saved, each with the reason.
     *
     * @param {string} conversation id
     * @returns {Message[]}
     */
    messages: (conversation) =>
      failed(conversation).flatMap(({ messages, failure }) =>
        messages.map((message) => ({ ...message, unsaved: failure })),
      ),

    /**
     * Changes a message that could not be saved, if `accepts` it.
     *
     * @param {Partial<Message> & { id: string }} update
     * @param {(message: Message, update: Partial<Message>) => boolean} accepts
     * @returns {Message | undefined} as it is then; undefined: no such message is waiting
     */
    update: (update, accepts) => {
      for (const addition of additions.filter(({ failure }) => failure)) {
        const message = addition.messages.find(({ id }) => id === update.id);
        if (!message) continue;
        if (accepts(message, update)) {
          Object.assign(message, update);
          write(addition);
        }
        return message;
      }
      return undefined;
    },
  };
}
