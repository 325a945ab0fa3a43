// Takes over what an earlier version of the page kept in localStorage: {id, name, updated, messages} per conversation.

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

// The ids follow from the old ones: two tabs that do this at once add the same messages.
function asTree({ id, name, updated, messages }) {
  const created = Number(updated) || Date.now();
  const idOf = (index) => (index < 0 ? null : `${id}-${index}`);
  return {
    id,
    name: typeof name === "string" ? name : "",
    created,
    updated: created,
    pinned: false,
    leaf: idOf(messages.length - 1),
    settings: {},
    model: null,
    messages: messages.map(({ role, content, figures }, index) => ({
      id: idOf(index),
      conversation: id,
      parent: idOf(index - 1),
      role,
      content,
      created: created + index,
      ...(role === "assistant" ? { figures, finish_reason: figures?.finish_reason ?? "stop" } : {}),
    })),
  };
}

export async function migrate(store) {
  const keys = Object.keys(localStorage).filter((key) => key.startsWith(PREFIX));
  const conversations = keys.map(parsed).filter(isConversation).map(asTree);
  if (conversations.length) await store.importAll({ conversations });
  keys.forEach((key) => localStorage.removeItem(key));
}
