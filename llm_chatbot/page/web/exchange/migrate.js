// Takes over what an earlier version of the page kept in localStorage.

import * as libraries from "../common/libraries.js";

/** @import { Store } from "../store/store.js" */

const PREFIX = "llm-chatbot.conversation.";

const isMessage = (value) => ["user", "assistant"].includes(value?.role) && typeof value.content === "string";
const isConversation = (value) =>
  typeof value?.id === "string" && Array.isArray(value.messages) && value.messages.every(isMessage);

function parsed(key) {
  try {
    return JSON.parse(localStorage.getItem(key) ?? "");
  } catch {
    return null;
  }
}

/**
 * The ids follow from the contents: two tabs that do this at once add the same messages.
 *
 * @param {Store} store
 */
export async function migrate(store) {
  const keys = Object.keys(localStorage).filter((key) => key.startsWith(PREFIX));
  if (keys.length === 0) return;
  const { fromFirstVersion } = await libraries.transfer();
  const conversations = keys.map(parsed).filter(isConversation).map(fromFirstVersion);
  if (conversations.length) await store.importAll({ conversations });
  keys.forEach((key) => localStorage.removeItem(key));
}
