// Makes conversations from what files hold.

/** @import { Conversation, Message, WholeConversation } from "../types" */

/**
 * @param {any} value
 * @returns {value is Record<string, any>}
 */
export const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);

/**
 * @param {any} value
 * @returns {boolean}
 */
export const isMessage = ({ role, content, call }) =>
  typeof content === "string" && (role === "tool" ? isCall(call) : ["user", "assistant", "summary"].includes(role));

const isCall = (value) =>
  isObject(value) && ["id", "name", "server", "tool", "arguments"].every((name) => isText(value[name]));

/**
 * 64 bits that follow from a text: two FNV-1a hashes with different factors.
 *
 * @param {string} text
 * @returns {string}
 */
export function hash(text) {
  let [first, second] = [0x811c9dc5, 0x050c5d1f];
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    first = Math.imul(first ^ code, 0x01000193);
    second = Math.imul(second ^ code, 0x85ebca6b);
  }
  return [first, second].map((half) => ((half ^ (half >>> 15)) >>> 0).toString(36)).join("");
}

/**
 * Messages that follow each other, with ids that follow from their content and from what is before them.
 *
 * @template {Pick<Message, "role" | "content">} Given
 * @param {string} conversation
 * @param {Given[]} messages
 * @param {number} start when the first was created; each further one is a millisecond later
 * @returns {(Given & { id: string; parent: string | null; created: number })[]}
 */
export function chain(conversation, messages, start) {
  /** @type {string | null} */
  let parent = null;
  return messages.map((message, index) => {
    const id = idAfter(conversation, parent, message);
    const linked = { ...message, id, parent, created: start + index };
    parent = id;
    return linked;
  });
}

/**
 * @param {string} conversation
 * @param {string | null} parent
 * @param {Pick<Message, "role" | "content">} message
 * @returns {string}
 */
export const idAfter = (conversation, parent, { role, content }) =>
  `${conversation}-${hash(JSON.stringify([parent, role, content]))}`;

/**
 * A conversation with what is known of it, and with defaults for the rest. Messages without a way to a first one, such
 * as those in a circle, are left out.
 *
 * @param {Partial<Conversation> & { id: string }} head
 * @param {Partial<Message>[]} messages
 * @param {string} [ending] the finish_reason of answers that have none. Without one, the page would ask for them again.
 * @returns {WholeConversation}
 */
export function conversationOf(head, messages, ending = "stop") {
  const connected = inTreeOrder(messages.map((message) => messageOf(head.id, message, ending)));
  const times = connected.map(({ created }) => created);
  const created = time(head.created) ?? Math.min(...times);
  return {
    id: head.id,
    name: typeof head.name === "string" ? head.name : "",
    created,
    updated: time(head.updated) ?? Math.max(created, ...times),
    pinned: Boolean(head.pinned),
    ...(isText(head.title) && head.title ? { title: head.title } : {}),
    ...(isText(head.folder) && head.folder ? { folder: head.folder } : {}),
    ...(head.archived ? { archived: true } : {}),
    leaf: connected.some(({ id, role }) => id === head.leaf && role !== "summary")
      ? head.leaf
      : (connected.findLast(({ role }) => role !== "summary")?.id ?? null),
    settings: isObject(head.settings) ? head.settings : {},
    model: Array.isArray(head.model) && head.model.every(isText) ? head.model : null,
    messages: connected,
  };
}

const isText = (value) => typeof value === "string";
const time = (value) => (Number.isFinite(value) && value > 0 ? value : undefined);

const isAttachment = (file) =>
  isText(file?.name) && isText(file.text) && (file.picture === undefined || isPicture(file.picture));

/**
 * Whether a value is the data URL of a picture: nothing is loaded for one.
 *
 * @param {unknown} value
 */
export const isPicture = (value) =>
  typeof value === "string" && /^data:image\/(png|jpeg|webp|gif|bmp);base64,[\w+/=]+$/.test(value);

const OPTIONAL = {
  figures: isObject,
  finish_reason: isText,
  model: isText,
  passages: (value) => Array.isArray(value) && value.every((one) => isText(one?.name) && isText(one.text)),
  calls: (value) => Array.isArray(value) && value.length > 0 && value.every(isCall),
  call: isCall,
  cut: Number.isFinite,
  attachments: (value) => Array.isArray(value) && value.every(isAttachment),
  tokens: Array.isArray,
  begun: isText,
  asked: isObject,
  continues: isText,
  left_out: Number.isFinite,
  summarised: Number.isFinite,
  error: isObject,
};

function messageOf(conversation, message, ending) {
  const { id, parent, role, content, created } = message;
  const known = Object.entries(OPTIONAL).filter(([name, isValid]) => isValid(message[name] ?? null));
  const optional = Object.fromEntries(known.map(([name]) => [name, message[name]]));
  if (role !== "user" && !optional.finish_reason) {
    optional.finish_reason = optional.figures ? (optional.figures.finish_reason ?? "interrupted") : ending;
  }
  return {
    id,
    conversation,
    parent: isText(parent) ? parent : null,
    role,
    content,
    created: time(created) ?? 1,
    ...optional,
  };
}

// Parents before their children, each once.
function inTreeOrder(messages) {
  const byId = new Map(messages.map((message) => [message.id, message]));
  const children = Map.groupBy(byId.values(), ({ parent }) => (byId.has(parent) ? parent : null));
  const ordered = [];
  let level = children.get(null) ?? [];
  while (level.length) {
    ordered.push(...level);
    level = level.flatMap(({ id }) => children.get(id) ?? []);
  }
  return ordered;
}
