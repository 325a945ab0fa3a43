// Titles that the model writes, once, after the first answer of a conversation. A name that was given by hand stays.

import { modelMessages } from "../server/question.js";
import { Down, post, Refused } from "../server/requests.js";
import { wantsTitles } from "../store/background.js";
import { pathTo } from "../store/branches.js";

/** @import { Store } from "../store/store.js" */
/** @import { Conversation, Message, ServerState } from "../types" */

const RETRY = 10_000; // milliseconds after the model had other things to do
const TRIES = 4;

/**
 * @param {object} options
 * @param {ServerState} options.server
 * @param {Pick<Store, "read" | "putConversation">} options.store
 */
export function titlesFor({ server, store }) {
  const asked = new Set(); // ids of conversations

  /**
   * To be called after the end of an answer.
   *
   * @param {string} id of its conversation
   */
  async function consider(id) {
    if (!wantsTitles() || server.model.remote || asked.has(id)) return; // another server's work may cost money
    asked.add(id);
    let isDone = false;
    try {
      for (let tries = 0; tries < TRIES && !isDone; tries++) {
        isDone = (await ask(id)) !== null;
        if (!isDone) await new Promise((resolve) => setTimeout(resolve, RETRY));
      }
    } finally {
      if (!isDone) asked.delete(id); // the next answer may have more luck
    }
  }

  /**
   * @param {string} id
   * @returns {Promise<string | null>} null: it is to be asked again
   */
  async function ask(id) {
    const { conversation, messages } = await store.read(id);
    const beginning = firstExchange(messages, conversation?.leaf ?? null);
    if (!conversation || conversation.temporary || isNamed(conversation)) return "";
    if (!beginning) {
      asked.delete(id); // the next answer may make one
      return "";
    }
    const { settings, model } = conversation;
    const title = await post("title", { messages: modelMessages(beginning), settings, model }).then(
      (answer) => answer.title,
      (error) => {
        if (error instanceof Refused) return "";
        if (error instanceof Down) return null;
        throw error;
      },
    );
    if (title) await keep(id, title);
    return title;
  }

  async function keep(id, title) {
    const { conversation } = await store.read(id);
    if (conversation && !isNamed(conversation)) await store.putConversation({ id, title });
  }

  /** @param {Conversation} conversation */
  const isNamed = ({ name, title, removed }) => Boolean(name || title || removed);

  return { consider };
}

/**
 * The first question and its answer, where that has ended well, with the calls that led to it.
 *
 * @param {Message[]} messages
 * @param {string | null} leaf
 * @returns {Message[] | null}
 */
function firstExchange(messages, leaf) {
  const path = pathTo(messages, leaf);
  const at = path.findIndex(({ role, finish_reason }) => role === "assistant" && finish_reason !== "tool_calls");
  const { finish_reason = "", content = "" } = path[at] ?? {};
  return content && ["stop", "length"].includes(finish_reason) ? path.slice(0, at + 1) : null;
}
