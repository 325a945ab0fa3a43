// What the model reads of a conversation.

import { asMessageText, estimateTokens } from "../composer/message_text.js";

/** @import { Message, PageError } from "../types" */

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
 * @returns {Pick<Message, "role" | "content">[]}
 */
export function modelMessages(path) {
  const read = [];
  let answered = 0; // so many of them precede the questions that were not answered
  for (const message of path) {
    const { role, content, error } = message;
    if (role === "user" || content) read.push({ role, content: role === "user" ? modelText(message) : content });
    else if (isTooLong(error)) read.length = answered;
    if (role === "assistant" && content) answered = read.length;
  }
  return read;
}
