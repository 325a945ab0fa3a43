// The branches of a conversation, whose messages are a tree. The functions are pure.

/** @import { Message, ToolCall } from "../types" */

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
export const inOrder = (a, b) => a.created - b.created || (a.id < b.id ? -1 : 1);

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
  const said = messages.filter(({ role }) => role !== "summary");
  const children = (parent) => said.filter((message) => message.parent === parent).sort(inOrder);
  let leaf = id;
  for (let next = children(leaf); next.length; next = children(leaf)) leaf = next[next.length - 1].id;
  return leaf;
}

/**
 * The call of a branch's last answer that is to be decided on next.
 *
 * @param {Message[]} path
 * @returns {ToolCall | undefined} undefined: there is none, or what is above it has not ended
 */
export function openCall(path) {
  const at = path.findLastIndex(({ role }) => role !== "tool");
  return path.at(-1)?.finish_reason ? path[at]?.calls?.[path.length - 1 - at] : undefined;
}

/**
 * The ids of the messages that the latest answer's prompt had no room for, or only their summary. A turn is a question
 * with its answer, and with the questions before it that were never answered.
 *
 * @param {Message[]} path
 * @returns {Set<string>}
 */
export function turnsLeftOut(path) {
  const latest = path.findLast(({ role, figures }) => role === "assistant" && figures);
  const { left_out: count = 0, summarised = 0 } = latest ?? {};
  const ids = new Set(path.slice(0, summarised).map(({ id }) => id));
  let turns = 0;
  let isAnswered = false;
  for (const { id, role, content } of path.slice(summarised)) {
    if (role === "user" && isAnswered) turns += 1;
    if (turns >= count) break;
    ids.add(id);
    isAnswered = role !== "user" && (isAnswered || Boolean(content));
  }
  return ids;
}
