// Takes over what an earlier version of the page kept in localStorage: {id, name, updated, messages} per conversation.

import { fromFirstVersion } from "./transfer.js";

const PREFIX = "llm-chatbot.conversation.";

const isMessage = (it) => it && ["user", "assistant"].includes(it.role) && typeof it.content === "string";
const isConversation = (it) => it && typeof it.id === "string" && Array.isArray(it.messages) && it.messages.every(isMessage);

function parsed(key) {
  try {
    return JSON.parse(localStorage.getItem(key));
  } catch {
    return null;
  }
}

export async function migrate(store) {
  const keys = Object.keys(localStorage).filter((key) => key.startsWith(PREFIX));
  const conversations = keys.map(parsed).filter(isConversation).map(fromFirstVersion);
  if (conversations.length) await store.importAll({ conversations });
  keys.forEach((key) => localStorage.removeItem(key));
}
