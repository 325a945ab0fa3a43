// What a conversation is called.

import { text } from "../common/dom.js";

/** @import { Conversation, Message } from "../types" */

const LENGTH = 80; // characters of a question that stand for a name

/**
 * Its own name, the title that the model wrote, or how its first question begins.
 *
 * @param {Pick<Conversation, "name" | "title"> & { messages: Message[] }} conversation
 * @returns {string}
 */
export function nameOf({ name, title, messages }) {
  const first = messages.filter((message) => message.parent === null).sort((a, b) => a.created - b.created)[0];
  return (
    name ||
    title ||
    (first?.content ?? "").trim().slice(0, LENGTH) ||
    first?.attachments?.[0]?.name ||
    text("new_conversation")
  );
}
