// Files with conversations: what is exported, and what can be imported. docs/page.md describes the formats.
//
// All functions are pure. The ids of what is imported are those of the file or follow from its content, so that a file
// that is imported twice adds nothing.

import { asMessageText } from "../composer/message_text.js";
import { wellFormed } from "../store/presets.js";
import { wellFormedPrompts } from "../store/prompts.js";
import { chain, conversationOf, hash, isMessage, isObject, isPicture } from "../store/tree.js";
import { READERS } from "./foreign.js";

/** @import { Attachment, KnownSettings, Message, Preset, Prompt, WholeConversation } from "../types" */

const FORMAT = "llm-chatbot";
const VERSION = 2; // 1 had no format, no ids of messages and no branches

/** A file without a conversation that can be read. `key` is that of the sentence to show, with the file's name. */
export class BadFile extends Error {
  key = "bad_import";
}

/**
 * The whole content of a file with everything.
 *
 * @param {{ conversations: WholeConversation[]; presets?: Preset[]; prompts?: Prompt[] }} content
 * @returns {string}
 */
export function toJSON({ conversations, presets = [], prompts = [] }) {
  const exported = new Date().toISOString();
  return JSON.stringify({ format: FORMAT, version: VERSION, exported, conversations, presets, prompts }, null, 1);
}

const HEADINGS = { user: "## User", assistant: "## Assistant", tool: "## Tool" };

/**
 * One branch for people to read. Lines that look like one of its headings begin with a backslash.
 *
 * @param {string} name
 * @param {Message[]} path
 * @returns {string}
 */
export function toMarkdown(name, path) {
  const escaped = (content) => content.replace(/^(\\*## (User|Assistant))$/gm, "\\$1");
  const parts = path.map((message) => `${HEADINGS[message.role]}\n\n${escaped(textOf(message))}\n`);
  return [`# ${name.replace(/\s+/g, " ")}\n`, ...parts].join("\n");
}

/** @param {Attachment} file */
const pictureLine = ({ name, picture }) => (picture ? `![${name.replace(/[[\]\n]/g, " ")}](${picture})` : []);
const PICTURE_LINE = /^!\[([^\]\n]*)\]\((data:image[^)\s]+)\)\n*/;

/**
 * What a message says to people who read a file: of a call, what was called, and its result.
 *
 * @param {Message} message
 */
function textOf({ content, attachments = [], call }) {
  if (!call)
    return [...attachments.flatMap(pictureLine), asMessageText(attachments, content)].filter(Boolean).join("\n\n");
  return asMessageText([{ name: `${call.server}/${call.tool}`, text: call.arguments }], content);
}

/**
 * @param {string} content
 * @param {KnownSettings} known
 * @returns {{ conversations: WholeConversation[]; presets: Preset[]; prompts: Prompt[] }}
 * @throws {BadFile}
 */
export function fromFile(content, known) {
  const text = content.replace(/^\uFEFF/, "").replace(/\r\n?/g, "\n");
  const isJSON = /^\s*[[{]/.test(text);
  const data = isJSON ? parsed(text) : null;
  const conversations = (isJSON ? fromData(data) : [fromMarkdown(text)]).filter(
    (conversation) => conversation?.messages.length,
  );
  const presets = wellFormed(data?.presets, known);
  const prompts = wellFormedPrompts(data?.prompts);
  if (conversations.length + presets.length + prompts.length === 0) throw new BadFile();
  return { conversations, presets, prompts };
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    throw new BadFile();
  }
}

function fromData(data) {
  const items = Array.isArray(data?.conversations) ? data.conversations : [data].flat();
  return items.filter(isObject).map((item) => {
    const { read } = READERS.find(({ reads }) => reads(item)) ?? {};
    return read ? read(item) : fromOwn(item);
  });
}

function fromOwn(item) {
  if (typeof item.id !== "string" || !Array.isArray(item.messages)) return null;
  const messages = item.messages.filter((message) => isObject(message) && isMessage(message));
  return messages.every((message) => typeof message.id === "string")
    ? conversationOf(item, messages, "interrupted")
    : fromFirstVersion(item);
}

/**
 * What the first version of the page saved and exported.
 *
 * @param {{ id: string; name?: string; updated?: number; messages: Pick<Message, "role" | "content" | "figures">[] }}
 *   saved
 * @returns {WholeConversation}
 */
export function fromFirstVersion({ id, name, updated, messages }) {
  return conversationOf(
    { id, name, created: updated, updated },
    chain(id, messages.filter(isMessage), Number(updated) || 0),
  );
}

function fromMarkdown(text) {
  const [head, ...parts] = text.split(/^## (User|Assistant)$/m);
  const messages = [];
  for (let i = 0; i < parts.length; i += 2) {
    const content = parts[i + 1].trim().replace(/^\\(\\*## (User|Assistant))$/gm, "$1");
    messages.push({ role: parts[i].toLowerCase(), ...withPictures(content) });
  }
  const id = hash(text);
  return conversationOf({ id, name: head.replace(/^# /, "").trim() }, chain(id, messages, Date.now()));
}

// The pictures that a text begins with become attachments again.
function withPictures(content) {
  const attachments = [];
  for (let line = PICTURE_LINE.exec(content); line && isPicture(line[2]); line = PICTURE_LINE.exec(content)) {
    attachments.push({ name: line[1], text: "", picture: line[2] });
    content = content.slice(line[0].length);
  }
  return attachments.length ? { content, attachments } : { content };
}
