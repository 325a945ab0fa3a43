// How much of the context there is for the next message.

import { number, text } from "../common/dom.js";
import { MOST_PICTURES } from "../server/question.js";
import { asMessageText, estimateTokens, fewestTokens } from "./message_text.js";

/** @import { Chat } from "../conversation/chat.js" */
/** @import { ModelChooser } from "../models/chooser.js" */
/** @import { Attachment, ServerState } from "../types" */

const SHARE_FOR_ANSWER = 1 / 4; // of the context, at most: the engine keeps it free for the answer
const TOKENS_OF_A_PICTURE = 576; // for a model that was not loaded yet

/**
 * @typedef {ReturnType<typeof roomView>} Room
 *
 * @param {object} options
 * @param {ServerState} options.server
 * @param {Chat} options.chat
 * @param {ModelChooser} options.chooser
 * @param {() => { length?: number | null; used: number; limit: number | null }} options.context in tokens; see header.js
 */
export function roomView({ server, chat, chooser, context }) {
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

  /** About how many tokens a picture takes; 0: the conversation's model reads none. */
  function ofPicture() {
    const isKnown = chooser.choiceOf(chooser.key())?.pictures;
    return chooser.model().picture_tokens ?? (isKnown ? TOKENS_OF_A_PICTURE : 0);
  }

  /**
   * Why the model won't read pictures of the next message.
   *
   * @param {Attachment[]} attachments
   * @returns {string} the sentence, or "" where it will
   */
  function unseen(attachments) {
    const { length } = attachments.filter(({ picture }) => picture);
    if (length > MOST_PICTURES) return text("image.too_many", { limit: MOST_PICTURES });
    if (length === 0 || ofPicture()) return "";
    const models = server.models.flatMap(({ title, pictures }) => (pictures ? [title] : [])).join(", ");
    return text(models ? "reads_no_pictures" : "none_reads_pictures", { model: chooser.model().title, models });
  }

  /**
   * Why a message is not sent: its pictures are not read, or alone, without the conversation, it surely doesn't fit.
   *
   * @param {string} content
   * @param {Attachment[]} [attachments]
   * @returns {string} the sentence, or "" where it may fit
   */
  function refusal(content, attachments = []) {
    const { limit } = context();
    const why = unseen(attachments);
    if (why || !limit) return why;
    const [count, room] = [fewestTokens(asMessageText(attachments, content)), withoutAnswer(limit)];
    return count > room ? text("message_too_long", { count: number(count), room: number(room) }) : "";
  }

  return { left, ofPicture, unseen, refusal };
}
