// The rounds of an answer that asks for calls: each call is decided on, has a message with its result below it, and the
// conversation goes on with an answer to them. Ids follow from the message above, so that two tabs add the same message.

import { text } from "../common/dom.js";
import { openCall, pathTo } from "../store/branches.js";

/** @import { Following } from "../server/following.js" */
/** @import { Store } from "../store/store.js" */
/** @import { Conversation, Message, ToolCall, ToolKey } from "../types" */

const MOST_CALLS = 8; // for one question, that are made without asking each time
const GOES_ON = ["stop", "failed", "error", "refused"]; // after a call that ended so; one that was stopped ends the answer

/**
 * What comes next on a branch: a call to decide on, or without one an answer to all results.
 *
 * @typedef {{ id: string; parent: string; call?: ToolCall; made: number }} Step made: calls for this question so far
 *
 * @param {Message[]} path
 * @returns {Step | null} null: nothing, or not before its last message has ended
 */
export function nextStep(path) {
  const last = path.at(-1);
  const answer = path.findLast(({ role }) => role !== "tool");
  if (!last?.finish_reason || answer?.finish_reason !== "tool_calls" || !answer.calls) return null;
  const call = openCall(path);
  const asked = path.findLastIndex(({ role }) => role === "user");
  const made = path.slice(asked + 1).filter(({ role }) => role === "tool").length;
  if (call) return { id: `${answer.id}.${answer.calls.indexOf(call)}`, parent: last.id, call, made };
  return { id: `${last.id}.a`, parent: last.id, made };
}

/** @param {ToolCall} call @returns {ToolKey} */
export const keyOf = ({ server, tool }) => [server, tool];

/**
 * @param {ToolKey[] | undefined} keys
 * @param {ToolKey} key
 */
export const hasKey = (keys, [server, tool]) => (keys ?? []).some(([one, other]) => one === server && other === tool);

/** @param {Step} step whether so many calls were made that each further one is asked for */
export const isLong = ({ made }) => made >= MOST_CALLS;

/**
 * A message with a call that was refused.
 *
 * @param {Step & { call: ToolCall }} step
 * @param {string} conversation
 * @returns {Message}
 */
const refused = (step, conversation) => ({
  ...messageOf(step, conversation),
  content: text("call_refused_result"),
  finish_reason: "refused",
});

/**
 * @param {Step} step
 * @param {string} conversation
 * @returns {Message}
 */
const messageOf = ({ id, parent, call }, conversation) => ({
  id,
  conversation,
  parent,
  role: call ? "tool" : "assistant",
  content: "",
  created: Date.now(),
  ...(call ? { call } : {}),
});

/**
 * The refusals of all calls that a branch ends with: who says something else has not allowed them.
 *
 * @param {Message[]} path
 * @returns {Message[]}
 */
export function refusals(path) {
  const added = [];
  for (let step = nextStep(path); step?.call; step = nextStep([...path, ...added]))
    added.push({ ...refused({ ...step, call: step.call }, path[0].conversation), created: Date.now() + added.length });
  return added;
}

/**
 * @typedef {ReturnType<typeof toolRounds>} Rounds
 * @typedef {(act: (rounds: Rounds) => Promise<unknown>) => unknown} WithRounds
 *
 * @param {object} options
 * @param {Pick<Store, "read" | "add" | "putConversation">} options.store
 * @param {Pick<Following, "expect">} options.following
 */
export function toolRounds({ store, following }) {
  /**
   * @param {string} conversation
   * @param {Message} message
   */
  async function add(conversation, message) {
    const saved = store.add({ id: conversation, updated: Date.now() }, [message]);
    // At once: who finds an unfinished message in the store takes its call for one that was sent.
    if (!message.finish_reason) following.expect(message);
    await saved;
  }

  /**
   * The step after a message, unless something follows it already.
   *
   * @param {string} id of a conversation
   * @param {string} message
   */
  async function stepAfter(id, message) {
    const { conversation, messages } = await store.read(id);
    const step = conversation?.removed ? null : nextStep(pathTo(messages, message));
    return { conversation, step: messages.some(({ parent }) => parent === message) ? null : step };
  }

  /**
   * To be called after a message has ended: goes on as far as nobody has to be asked.
   *
   * @param {string} id of the conversation
   * @param {Pick<Message, "id" | "role" | "finish_reason">} message
   */
  async function advance(id, { id: last, role, finish_reason = "" }) {
    if (role === "tool" && !GOES_ON.includes(finish_reason)) return;
    const { conversation, step } = await stepAfter(id, last);
    if (!step || (step.call && !mayCall(step, conversation))) return;
    await add(id, messageOf(step, id));
  }

  /**
   * @param {Step} step
   * @param {Conversation} [conversation]
   */
  const mayCall = (step, conversation) =>
    Boolean(step.call) && hasKey(conversation?.allowed, keyOf(/** @type {ToolCall} */ (step.call))) && !isLong(step);

  /**
   * @param {string} id of the conversation
   * @param {Message} last above the call
   * @param {"once" | "always" | "refuse"} decision
   */
  async function decide(id, last, decision) {
    const { conversation, step } = await stepAfter(id, last.id);
    if (!step?.call) return; // another tab was first
    if (decision === "always") await allow(id, conversation, keyOf(step.call), true);
    if (decision !== "refuse") return add(id, messageOf(step, id));
    const message = refused({ ...step, call: step.call }, id);
    await add(id, message);
    await advance(id, message);
  }

  /**
   * @param {string} id
   * @param {Conversation | undefined} conversation
   * @param {ToolKey} key
   * @param {boolean} isAllowed without asking, in this conversation
   */
  async function allow(id, conversation, key, isAllowed) {
    const others = (conversation?.allowed ?? []).filter((other) => !hasKey([other], key));
    await store.putConversation({ id, allowed: isAllowed ? [...others, key] : others });
  }

  /**
   * Answers with the results that there are, after a call that was stopped.
   *
   * @param {string} id
   * @param {Message} last
   */
  async function goOn(id, last) {
    const { step } = await stepAfter(id, last.id);
    if (step && !step.call) await add(id, messageOf(step, id));
  }

  /**
   * Makes a call once more, as a version beside the first.
   *
   * @param {string} id
   * @param {Message} message with the call
   */
  async function again(id, message) {
    const { parent, call } = message;
    const step = { id: `${message.id}.${Date.now().toString(36)}`, parent: String(parent), call, made: 0 };
    await add(id, messageOf(step, id));
  }

  return { advance, decide, allow, goOn, again };
}
