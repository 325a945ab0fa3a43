// What can be done with an answer beside copying it: again by another model or with other settings, its tokens, aloud.

import { iconButton, text } from "../common/dom.js";
import { ICONS } from "../common/icons.js";
import { menuOf } from "../common/popup.js";
import { canSpeak, isSpeaking, readAloud, stopSpeaking } from "./aloud.js";

/** @import { Message, ServerState } from "../types" */
/** @import { Chat } from "./chat.js" */

const VARIED = 0.6; // temperature

/**
 * @param {object} options
 * @param {ServerState} options.server
 * @param {Pick<Chat, "regenerate" | "conversation">} options.chat
 * @param {Message} options.message an answer
 * @param {HTMLElement} options.body what is drawn of it
 */
export function againMenu({ server, chat, message, body }) {
  const { id } = message;
  const [, , device] = chat.conversation.model ?? server.model.key;
  const other = server.models.filter(({ title }) => !message.model?.startsWith(title));
  const button = iconButton(ICONS.dots, text("more"));
  return menuOf(
    button,
    () => text("more"),
    () => [
      ...other.map((choice) => ({
        name: text("again_with", { title: choice.title }),
        act: () => chat.regenerate(id, { model: [choice.name, choice.precision, device] }),
      })),
      {
        name: text("again_exact"),
        act: () => chat.regenerate(id, { settings: { ...chat.conversation.settings, temperature: 0 } }),
      },
      {
        name: text("again_varied"),
        act: () => chat.regenerate(id, { settings: { ...chat.conversation.settings, temperature: VARIED } }),
      },
      canSpeak() && {
        name: text(isSpeaking() ? "silence" : "aloud"),
        act: () => (isSpeaking() ? stopSpeaking() : readAloud(body)),
      },
    ],
  );
}
