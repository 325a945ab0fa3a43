// Summaries that the model writes of the oldest messages of a conversation that comes near its context.

import { estimateTokens } from "../composer/message_text.js";
import { modelMessages } from "../server/question.js";
import { Down, post, Refused } from "../server/requests.js";
import { wantsSummaries } from "../store/background.js";
import { pathTo } from "../store/branches.js";
import { newId } from "../store/store.js";
import { readOf, summaryMessage, summaryOn } from "../store/summaries.js";

/** @import { Store } from "../store/store.js" */
/** @import { Message, ServerState } from "../types" */

const RETRY = 10_000; // milliseconds after the model had other things to do
const TRIES = 4;

// Parts of the context. Between two summaries, the beginning of the prompt stays what the model has read already, while
// a third of the context is filled.
const FULL = 0.6; // of what the model would read next, from which a summary is made
const KEPT = 0.25; // of the latest messages, which it doesn't stand for
const ASKED = 0.7; // of the messages that one summary is made of, at most
const LEAST = 0.1; // of the messages that are worth one
const MOST = 2.5; // tokens of the model by estimated ones

/**
 * @param {object} options
 * @param {ServerState} options.server
 * @param {Pick<Store, "read" | "add">} options.store
 */
export function summariesFor({ server, store }) {
  const asked = new Set(); // ids of conversations, while a summary is made

  /**
   * To be called after the end of an answer.
   *
   * @param {string} id of its conversation
   */
  async function consider(id) {
    if (!wantsSummaries() || server.model.remote || asked.has(id)) return; // another server's work may cost money
    asked.add(id);
    try {
      for (let tries = 0; tries < TRIES; ) {
        const made = await summarise(id);
        if (made === false) return;
        if (made) continue; // there may be more than one summary's worth
        tries += 1;
        await new Promise((resolve) => setTimeout(resolve, RETRY));
      }
    } finally {
      asked.delete(id);
    }
  }

  /**
   * @param {string} id
   * @returns {Promise<boolean | null>} whether a summary was made; null: it is to be asked for again
   */
  async function summarise(id) {
    const { conversation, messages } = await store.read(id);
    const path = pathTo(messages, conversation?.leaf ?? null);
    const covered = conversation?.removed ? null : toSummarise(path, messages);
    if (!conversation || !covered) return false;
    const parent = covered[covered.length - 1].id;
    const { settings, model, temporary } = conversation;
    const read = readOf(pathTo(messages, parent), messages);
    const content = await ask({ id: newId(), settings, model, private: Boolean(temporary), ...read });
    return content ? keep(id, parent, content) : content === "" ? false : null;
  }

  /**
   * @param {object} question
   * @returns {Promise<string | null>} null: it is to be asked for again
   */
  async function ask(question) {
    try {
      for (;;) {
        const { summary } = await post("summary", question);
        if (summary !== undefined) return summary;
      }
    } catch (error) {
      if (error instanceof Down || (error instanceof Refused && error.status === 503)) return null;
      if (error instanceof Refused) return "";
      throw error;
    }
  }

  // Unless one was made or deleted meanwhile.
  async function keep(id, parent, content) {
    const { conversation, messages } = await store.read(id);
    const known = summaryOn(pathTo(messages, conversation?.leaf ?? null), messages)?.message;
    const isFree = known?.content !== "";
    if (!conversation || conversation.removed || !isFree) return false;
    await store.add({ id }, [summaryMessage(id, parent, content)]);
    return true;
  }

  return { consider };
}

/**
 * The messages that are to be summarised next: the oldest ones, where the next prompt comes near the context. Where a
 * summary was deleted, there are none.
 *
 * @param {Message[]} path
 * @param {Message[]} messages of the conversation
 * @returns {Message[] | null}
 */
export function toSummarise(path, messages) {
  const { message, count = 0 } = summaryOn(path, messages) ?? {};
  const answer = path.findLast(({ role, figures }) => role === "assistant" && figures?.prompt_tokens);
  const context = answer?.figures?.context_length;
  if (!answer || !context || message?.content === "") return null;
  const scale = tokensPerEstimate(path, answer) / context;
  const share = (part) => scale * estimated(part);
  const before = scale * estimateTokens(message?.content ?? "");
  const isShort = answer.left_out && (answer.summarised ?? 0) === count; // of room, whatever the estimate says
  const next = before + share(path.slice(count)) + scale * estimateTokens(passagesOf(answer));
  if (next < FULL && !isShort) return null;
  const ends = path.flatMap((_, index) => (index > count && isTurn(path, index) ? [index] : []));
  const enough = ends.find((end) => share(path.slice(end)) <= KEPT) ?? ends.at(-1);
  const end = ends.findLast((end) => end <= (enough ?? 0) && before + share(path.slice(count, end)) <= ASKED);
  const covered = path.slice(count, end ?? count);
  return share(covered) >= LEAST ? covered : null;
}

// A turn begins there, after an answer.
const isTurn = (path, index) =>
  path[index].role === "user" && path[index - 1].role === "assistant" && Boolean(path[index - 1].content);

const estimated = (part) =>
  estimateTokens(modelMessages(part).reduce((all, { content }) => all + content, "")) + tokensOfPictures(part);

/** @param {Message[]} part */
const tokensOfPictures = (part) =>
  part
    .flatMap(({ attachments = [] }) => attachments)
    .reduce((sum, { picture, tokens = 0 }) => (picture ? sum + tokens : sum), 0);

/** @param {Message} answer */
const passagesOf = ({ passages }) => (passages ?? []).map(({ text }) => text).join();

// By the model's own count of what it read and wrote for an answer. The oldest turns may not have been among it. What
// else was, such as the descriptions of tools, counts only so far.
function tokensPerEstimate(path, answer) {
  const { id, figures, left_out = 0, summarised = 0 } = answer;
  const read = path.slice(summarised, path.findIndex((message) => message.id === id) + 1);
  const turns = read.flatMap(({ role }, index) => (role === "user" ? [index] : []));
  const tokens = figures.prompt_tokens + (figures.completion_tokens ?? 0);
  const estimate = estimated(read.slice(turns[left_out] ?? 0)) + estimateTokens(passagesOf(answer));
  return Math.min(MOST, Math.max(1 / MOST, tokens / Math.max(1, estimate)));
}
