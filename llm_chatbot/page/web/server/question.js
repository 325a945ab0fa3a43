// What the model reads of a conversation.

import { asMessageText, estimateTokens } from "../composer/message_text.js";

/** @import { Message, PageError, ToolCall } from "../types" */

const TOO_LONG = ["prompt.too_long", "too_large", "too_long"]; // the last in answers of the page's first versions

/**
 * Whether a question was refused for its length: the same again wouldn't help.
 *
 * @param {PageError} [error] of its answer
 */
export const isTooLong = (error) => TOO_LONG.includes(error?.key ?? "");

/**
 * What the model reads of a message: the attached texts first.
 *
 * @param {Pick<Message, "content" | "attachments">} message
 * @returns {string}
 */
export const modelText = ({ content, attachments }) => asMessageText(attachments ?? [], content);

/** So many pictures are read, the latest ones: see answering/pictures.py. */
export const MOST_PICTURES = 16;

const SHORT = 6; // tokens of a question that is looked for together with the one before it

/**
 * What is looked for in the conversation's collections: the last question as it was typed.
 *
 * @param {Message[]} path
 * @returns {string}
 */
export function searchedText(path) {
  const [last = "", before = ""] = path.flatMap(({ role, content }) => (role === "user" ? [content] : [])).reverse();
  return estimateTokens(last) < SHORT ? `${before}\n${last}`.trim() : last;
}

/**
 * The messages of a branch that the model reads. The server joins questions that were never answered with the next one.
 * One that was too long is left out, with those that it was joined with: else all that follow would be too long as well.
 *
 * @param {Message[]} path
 * @returns {(Pick<Message, "role" | "content"> & Record<string, unknown>)[]}
 */
export function modelMessages(path) {
  const read = readMessages(path);
  const unread = unreadOf(read.map(([message]) => message));
  return read.map(([message, calls]) => asRead(message, calls, unread.get(message)));
}

/**
 * How many pictures of each message, its first ones, are no longer read, as there are `MOST_PICTURES` after them.
 *
 * @param {Message[]} path
 * @returns {Map<Message, number>} without those of which all are read
 */
export const unreadPictures = (path) => unreadOf(readMessages(path).map(([message]) => message));

/** @param {Message[]} messages that are read */
function unreadOf(messages) {
  let tooMany = messages.flatMap(picturesOf).length - MOST_PICTURES;
  const unread = new Map();
  for (const message of messages) {
    if (tooMany <= 0) break;
    const { length } = picturesOf(message);
    if (length) unread.set(message, Math.min(length, tooMany));
    tooMany -= length;
  }
  return unread;
}

/** @param {Message} message */
const picturesOf = ({ attachments }) => (attachments ?? []).flatMap(({ picture }) => picture ?? []);

/**
 * @param {Message[]} path
 * @returns {[Message, ToolCall[]][]} those of it that the model reads, each with the calls that it asks for
 */
function readMessages(path) {
  /** @type {[Message, ToolCall[]][]} */
  const read = [];
  const results = new Set(path.flatMap(({ call }) => (call ? [call.id] : [])));
  let answered = 0; // so many of them precede the questions that were not answered
  for (const message of path) {
    const { role, content, error, call } = message;
    const calls = (message.calls ?? []).filter(({ id }) => results.has(id)); // the others were never decided on
    if (call || role === "user" || content || calls.length) read.push([message, calls]);
    else if (isTooLong(error)) read.length = answered;
    if (role === "assistant" && content && !calls.length) answered = read.length;
  }
  return read;
}

/**
 * @param {Message} message
 * @param {ToolCall[]} calls
 * @param {number} [unread] so many of its first pictures: only that they were there
 */
function asRead(message, calls, unread = 0) {
  const { role, content, call } = message;
  if (call) return { role, content, tool_call_id: call.id, name: call.name };
  const pictures = picturesOf(message).map((picture, index) => (index < unread ? null : picture));
  const asked = calls.map(({ id, name, arguments: values }) => ({ id, name, arguments: values }));
  return {
    role,
    content: role === "user" ? modelText(message) : content,
    ...(pictures.length && { pictures }),
    ...(asked.length && { tool_calls: asked }),
  };
}
