// Reads conversations that other programs exported: Open WebUI, ChatGPT and LM Studio.

import { conversationOf, hash, idAfter, isObject, isPicture } from "../store/tree.js";

/** @import { Message, WholeConversation } from "../types" */

const seconds = (value) => (Number(value) || 0) * 1000;
const entries = (value) => Object.entries(isObject(value) ? value : {}).filter(([, node]) => isObject(node));
const list = (value) => (Array.isArray(value) ? value : []).filter((item) => item !== null && item !== undefined);
const thought = (text) => `<think>\n${text}\n</think>\n\n`;

// Open WebUI: {id, title, pinned, created_at, updated_at, chat: {title, params, history: {currentId, messages: {id:
// {parentId, role, content, timestamp, model, files}}}}}.
function openWebUI({ id, title, pinned, created_at, updated_at, chat }) {
  const conversation = id ?? chat.id ?? hash(JSON.stringify(chat.history));
  const nodes = entries(chat.history.messages).map(([nodeId, node]) => ({
    id: nodeId,
    parent: node.parentId,
    role: node.role,
    content: withThoughts(String(node.content ?? "")),
    created: seconds(node.timestamp),
    model: node.role === "assistant" ? node.model : undefined,
    attachments: filesOf(node),
  }));
  const system = chat.params?.system;
  const settings = system ? { system_prompt: system } : {};
  const head = {
    name: title ?? chat.title,
    pinned,
    created: seconds(created_at),
    updated: seconds(updated_at),
    settings,
  };
  return treeOf(String(conversation), head, nodes, chat.history.currentId);
}

function filesOf({ files }) {
  const read = list(files).map((attached) =>
    isPicture(attached.url)
      ? { name: attached.name ?? "picture", text: "", picture: attached.url }
      : { name: attached.name, text: attached.file?.data?.content },
  );
  const found = read.filter(({ name, text }) => typeof name === "string" && typeof text === "string");
  return found.length ? found : undefined;
}

// Open WebUI folds reasoning into an element whose lines are quoted and escaped.
function withThoughts(content) {
  return content.replace(
    /<details type="reasoning"[^>]*>\s*(?:<summary>.*?<\/summary>)?([\s\S]*?)<\/details>\s*/g,
    (_, inside) => {
      const escaped = inside.trim().replace(/^(&gt;|>) ?/gm, "");
      return thought(new DOMParser().parseFromString(escaped.replaceAll("<", "&lt;"), "text/html").body.textContent);
    },
  );
}

// ChatGPT: {id, title, create_time, update_time, current_node, mapping: {id: {parent, message: {author, create_time,
// content, metadata, recipient}}}}. What a tool says, what is said to it, and what ChatGPT hides is left out.
function chatGPT({ id, conversation_id, title, create_time, update_time, current_node, mapping }) {
  const conversation = conversation_id ?? id ?? hash(JSON.stringify(mapping));
  const nodes = entries(mapping).map(([nodeId, { parent, message }]) => {
    const isHidden = message?.metadata?.is_visually_hidden_from_conversation || (message?.recipient ?? "all") !== "all";
    return {
      id: nodeId,
      parent,
      role: isHidden ? null : message?.author?.role,
      content: textOf(message?.content ?? {}),
      created: seconds(message?.create_time),
      model: message?.author?.role === "assistant" ? message.metadata?.model_slug : undefined,
    };
  });
  const head = { name: title, created: seconds(create_time), updated: seconds(update_time) };
  return treeOf(String(conversation), head, nodes, current_node);
}

function textOf({ content_type, parts, text, thoughts }) {
  if (content_type === "thoughts") {
    const lines = list(thoughts)
      .map((step) => step.content)
      .filter(Boolean);
    return lines.length ? thought(lines.join("\n\n")) : "";
  }
  if (content_type === "code") return text ? `\`\`\`\n${text}\n\`\`\`` : "";
  if (!["text", "multimodal_text"].includes(content_type)) return "";
  const line = (part) =>
    typeof part === "string"
      ? part
      : (part.text ?? (part.content_type === "image_asset_pointer" ? "[image]" : `[${part.content_type}]`));
  return list(parts).map(line).join("\n\n");
}

// A conversation of nodes {id, parent, role, content, …} as a tree of questions and answers: the nodes below one that
// is left out go to the one above it, and an answer that goes on in further nodes becomes one message.
function treeOf(conversation, head, nodes, current) {
  const byId = new Map(nodes.map((node) => [node.id, node]));
  const isKept = ({ role, content, attachments }) =>
    (role === "user" || role === "assistant") && Boolean(content.trim() || attachments);
  const above = (id) => {
    const seen = new Set();
    while (byId.has(id) && !isKept(byId.get(id)) && !seen.has(id)) {
      seen.add(id);
      id = byId.get(id).parent;
    }
    return byId.has(id) && isKept(byId.get(id)) ? id : null;
  };
  const idOf = (id) => id && `${conversation}-${id}`; // a copied conversation has the same ids of messages
  const messages = nodes
    .filter(isKept)
    .map((node) => ({ ...node, id: idOf(node.id), parent: idOf(above(node.parent)) }));
  const leaf = idOf(above(current));
  return conversationOf({ id: conversation, ...head, leaf }, joined(messages, leaf));
}

// Joins messages with those of the same role that they follow.
function joined(messages, leaf) {
  const byId = new Map(messages.map((message) => [message.id, message]));
  const goesOn = new Set();
  const stays = new Set([leaf]);
  for (const { parent, role } of messages) (byId.get(parent)?.role === role ? goesOn : stays).add(parent);
  return messages
    .filter(({ id }) => !goesOn.has(id) || stays.has(id))
    .map((message) => {
      let { content, parent } = message;
      const seen = new Set();
      for (
        let before = byId.get(parent);
        before?.role === message.role && !seen.has(parent);
        before = byId.get(parent)
      ) {
        seen.add(parent);
        content = `${before.content.trimEnd()}\n\n${content}`;
        parent = before.parent;
      }
      return { ...message, content, parent };
    });
}

// LM Studio: {name, pinned, createdAt, systemPrompt, messages: [{currentlySelected, versions: [{role, content, steps,
// senderInfo}]}]}. What follows a message follows its selected version.
function lmStudio({ name, pinned, createdAt, systemPrompt, messages }) {
  const conversation = hash(JSON.stringify([createdAt, messages[0]]));
  const found = [];
  /** @type {string | null} */
  let parent = null;
  for (const { versions, currentlySelected = 0 } of list(messages)) {
    const all = list(versions).map((version) => {
      const message = { role: version.role, content: lmStudioText(version), model: version.senderInfo?.senderName };
      if (version.role !== "assistant") delete message.model;
      return {
        ...message,
        id: idAfter(conversation, parent, message),
        parent,
        created: (createdAt || 0) + found.length,
      };
    });
    const usable = all.filter(({ role, content }) => ["user", "assistant"].includes(role) && content.trim());
    found.push(...usable.map((message, index) => ({ ...message, created: message.created + index })));
    parent = (usable.includes(all[currentlySelected]) ? all[currentlySelected] : usable.at(-1))?.id ?? parent;
  }
  const settings = systemPrompt ? { system_prompt: systemPrompt } : {};
  return conversationOf({ id: conversation, name, pinned, created: createdAt, settings, leaf: parent }, found);
}

function lmStudioText({ content, steps }) {
  const texts = (parts) =>
    list(parts)
      .filter((part) => part.type === "text")
      .map((part) => part.text);
  if (!Array.isArray(steps)) return texts(content).join("\n\n");
  return list(steps)
    .filter((step) => step.type === "contentBlock")
    .map((step) =>
      step.style?.type === "thinking" ? thought(texts(step.content).join("")) : texts(step.content).join(""),
    )
    .join("");
}

/**
 * For each program, whether an object of a file is a conversation of it, and what reads it.
 *
 * @type {{ reads: (item: any) => boolean; read: (item: any) => WholeConversation }[]}
 */
export const READERS = [
  { reads: (item) => isObject(item.chat?.history?.messages), read: openWebUI },
  { reads: (item) => isObject(item.mapping), read: chatGPT },
  {
    reads: (item) => Array.isArray(item.messages) && item.messages.some((message) => Array.isArray(message?.versions)),
    read: lmStudio,
  },
];
