// Summaries of the oldest messages of a branch. Each is a node of the tree, below the last message that it stands for, so
// that it belongs to the branches that have all of them.

import { modelMessages } from "../server/question.js";
import { inOrder } from "./branches.js";
import { newId } from "./store.js";

/** @import { Message } from "../types" */

/**
 * The summary at the latest place of a branch that has one. Of its versions, the newest counts; one without content
 * says that the summary was deleted.
 *
 * @param {Message[]} path
 * @param {Message[]} messages of the conversation
 * @returns {{ message: Message; count: number } | null} count: of the messages that it stands for, from the first on
 */
export function summaryOn(path, messages) {
  const byPlace = Map.groupBy(
    messages.filter(({ role }) => role === "summary"),
    ({ parent }) => parent,
  );
  const place = path.findLastIndex(({ id }) => byPlace.has(id));
  const newest = byPlace
    .get(path[place]?.id ?? null)
    ?.sort(inOrder)
    .at(-1);
  return newest ? { message: newest, count: place + 1 } : null;
}

/**
 * What the model reads of a branch.
 *
 * @param {Message[]} path
 * @param {Message[]} messages of the conversation
 * @returns {{ messages: Pick<Message, "role" | "content">[]; summary?: string; summarised?: number }}
 */
export function readOf(path, messages) {
  const { message, count } = summaryOn(path, messages) ?? {};
  if (!message?.content) return { messages: modelMessages(path) };
  return { messages: modelMessages(path.slice(count)), summary: message.content, summarised: count };
}

/**
 * @param {string} conversation
 * @param {string | null} parent the last message that it stands for
 * @param {string} content
 * @returns {Message}
 */
export const summaryMessage = (conversation, parent, content) => ({
  id: newId(),
  conversation,
  parent,
  role: "summary",
  content,
  created: Date.now(),
  finish_reason: "stop",
});
