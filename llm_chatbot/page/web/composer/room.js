// How much of the context there is for the next message.

import { number, text } from "../common/dom.js";
import { asMessageText, estimateTokens, fewestTokens } from "./message_text.js";

/** @import { Chat } from "../conversation/chat.js" */
/** @import { Attachment } from "../types" */

const SHARE_FOR_ANSWER = 1 / 4; // of the context, at most: the engine keeps it free for the answer

/**
 * @typedef {ReturnType<typeof roomView>} Room
 *
 * @param {object} options
 * @param {Chat} options.chat
 * @param {() => { length?: number | null; used: number; limit: number | null }} options.context in tokens; see header.js
 */
export function roomView({ chat, context }) {
  const withoutAnswer = (length) =>
    Math.round(length - Math.min(chat.conversation.settings.max_new_tokens ?? 256, length * SHARE_FOR_ANSWER));

  /**
   * About how many tokens the files of the next message may have.
   *
   * @param {string} written the rest of it
   * @returns {number | null} null: not known
   */
  function left(written) {
    const { length, used } = context();
    return length ? withoutAnswer(length) - used - estimateTokens(written) : null;
  }

  /**
   * Why a message is not sent: alone, without the conversation, it surely doesn't fit.
   *
   * @param {string} content
   * @param {Attachment[]} [attachments]
   * @returns {string} the sentence, or "" where it may fit
   */
  function refusal(content, attachments = []) {
    const { limit } = context();
    if (!limit) return "";
    const [count, room] = [fewestTokens(asMessageText(attachments, content)), withoutAnswer(limit)];
    return count > room ? text("message_too_long", { count: number(count), room: number(room) }) : "";
  }

  return { left, refusal };
}
