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
  const read = [];
  const results = new Set(path.flatMap(({ call }) => (call ? [call.id] : [])));
  let answered = 0; // so many of them precede the questions that were not answered
  for (const message of path) {
    const { role, content, error, call } = message;
    const calls = (message.calls ?? []).filter(({ id }) => results.has(id)); // the others were never decided on
    if (call) read.push({ role, content, tool_call_id: call.id, name: call.name });
    else if (role === "user" || content || calls.length) read.push(asRead(message, calls));
    else if (isTooLong(error)) read.length = answered;
    if (role === "assistant" && content && !calls.length) answered = read.length;
  }
  leaveOutPictures(read);
  return read;
}

// Of the oldest pictures only that there was one.
function leaveOutPictures(messages) {
  const withPictures = messages.filter(({ pictures }) => pictures);
  let tooMany = withPictures.flatMap(({ pictures }) => pictures).length - MOST_PICTURES;
  for (const message of withPictures)
    message.pictures = message.pictures.map((picture) => (tooMany-- > 0 ? null : picture));
}

/**
 * @param {Message} message a question or an answer
 * @param {ToolCall[]} calls
 */
function asRead(message, calls) {
  const { role, content } = message;
  const pictures = (message.attachments ?? []).flatMap(({ picture }) => picture ?? []);
  const asked = calls.map(({ id, name, arguments: values }) => ({ id, name, arguments: values }));
  return {
    role,
    content: role === "user" ? modelText(message) : content,
    ...(pictures.length && { pictures }),
    ...(asked.length && { tool_calls: asked }),
  };
}
