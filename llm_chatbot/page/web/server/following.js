// Asks the server the questions that wait for an answer and the calls that were allowed, and follows them until they end. An answer belongs to
// its message: whichever tab is open follows it, after a reload too, and asks again what the server doesn't know.

import { errorText, text as textOf } from "../common/dom.js";
import { pathTo } from "../store/branches.js";
import { failure } from "../store/store.js";
import { readOf } from "../store/summaries.js";
import { searchedText } from "./question.js";
import { Down, post, Refused } from "./requests.js";

/** @import { Store } from "../store/store.js" */
/** @import { AnswerEnd, AnswerState, LiveAnswer, Message, ModelKey, QuotedPassage, ToolCall } from "../types" */

const PACE = 40; // milliseconds between two requests that follow answers
const RETRY = 1000; // after the server couldn't be reached or had no room, or a question couldn't be read
const TRIES = 5; // to read a question, before its answer says that this browser can't
const SAVE = 1000; // between two savings of a growing answer
const CLAIM = 1000; // between two messages to other tabs about what this one follows
const UNKNOWN = 5000; // after which a call that the server doesn't know isn't on its way to it any more
const UNCLAIMED = 3000; // after which a tab follows what it doesn't show, too

/**
 * The passages that the answers of a turn were given so far: those after calls get the same.
 *
 * @param {Message[]} path
 * @returns {QuotedPassage[] | undefined}
 */
function passagesOfTurn(path) {
  const asked = path.findLastIndex(({ role }) => role === "user");
  return path.slice(asked + 1).find(({ passages }) => passages)?.passages;
}

/**
 * What a message holds at its end: of a call without a result, the sentence that stands for it, which the model reads.
 *
 * @param {LiveAnswer} entry
 * @param {AnswerEnd} update
 */
function contentOf({ message, content }, { finish_reason = "", error }) {
  if (!message.call || ["stop", "failed"].includes(finish_reason)) return content;
  return error ? errorText(error) : textOf(`call_${finish_reason}_result`);
}

/**
 * Starts it. Answers are `live` from the moment they are expected until they have ended and been saved. Each tab
 * follows what it has asked for and what it shows, and what no other tab follows.
 *
 * @typedef {ReturnType<typeof startFollowing>} Following
 *
 * @param {object} options
 * @param {Store} options.store
 * @param {(conversation: string, message: string) => void} options.changed called when an answer is expected or has
 *   grown
 * @param {(isUp: boolean, error?: unknown) => void} options.reached called when the server was or wasn't reached
 * @param {(conversation: string, message: Message) => void} options.ended called after an answer or a call has ended and
 *   was saved
 * @param {() => string | undefined} options.shown the conversation that this tab shows
 */
export function startFollowing({ store, changed, reached, ended: endedIn, shown }) {
  /** @type {Map<string, number>} */
  const claims = new Map(); // id → when another tab said that it follows it, or when it was first seen here
  const channel = new BroadcastChannel("llm-chatbot.following");
  /** @type {Map<string, LiveAnswer>} */
  const live = new Map();
  /** @type {(value?: unknown) => void} */
  let wake = () => {};
  let running = new AbortController();

  /**
   * @param {Message} message
   * @param {boolean} [isAsked]
   */
  function expect(message, isAsked = false) {
    if (live.has(message.id) || message.finish_reason) return;
    const none = { tokens: [], state: {}, version: -1, askAt: 0, unread: 0, savedAt: 0, ended: null };
    live.set(message.id, { message, content: message.content, isAsked, ...none });
    changed(message.conversation, message.id); // it can be stopped from now on
    wake();
    running.abort();
  }

  // Those of earlier visits and of other tabs.
  async function expectStored() {
    for (const message of await store.unfinished()) {
      const claimed = claims.get(message.id) ?? Date.now(); // the tab that asks will claim it
      claims.set(message.id, claimed);
      const isFree = Date.now() - claimed > UNCLAIMED;
      if (isFree || message.conversation === shown()) expect(message, true);
    }
  }

  channel.onmessage = ({ data }) => data.forEach((id) => claims.set(id, Date.now()));
  setInterval(() => live.size && channel.postMessage([...live.keys()]), CLAIM);
  setInterval(expectStored, UNCLAIMED);

  const pause = (time) =>
    new Promise((resolve) => {
      wake = resolve;
      if (time !== null) setTimeout(resolve, time);
    });

  /**
   * Asks for an answer, unless one above it is still expected.
   *
   * @param {LiveAnswer} entry
   */
  async function ask(entry) {
    const { id, conversation, parent, begun, forced, call } = entry.message;
    let stored;
    try {
      stored = await store.read(conversation);
    } catch (error) {
      if (!(error instanceof DOMException)) throw error; // not the database's
      return unread(entry);
    }
    const path = pathTo(stored.messages, parent);
    if (path.some((message) => message.role !== "user" && !message.finish_reason)) return;
    const { settings, model, temporary } = { ...stored.conversation, ...entry.message.asked };
    const { messages, ...before } = readOf(path, stored.messages);
    if (begun) messages.push({ role: "assistant", content: begun });
    if (entry.ended) return;
    try {
      const passages = entry.message.passages ?? passagesOfTurn(path);
      const searched = settings?.collections ? { query: searchedText(path), passages } : {};
      const asked = { settings: settings ?? {}, messages, ...before, private: Boolean(temporary), ...searched };
      if (call) await makeCall(entry, call, model ?? null);
      else await post("ask", { id, conversation, model: model ?? null, ...asked, forced_tool: forced });
      entry.isAsked = true;
      if (entry.ended) await post("stop", { id }); // it was stopped meanwhile
    } catch (error) {
      if (!(error instanceof Refused) || error.status === 401) throw error;
      if (error.status === 503) Object.assign(entry, { state: { phase: "no_room" }, askAt: Date.now() + RETRY });
      else await end(entry, { finish_reason: "error", error: error.error });
    }
    changed(conversation, id);
  }

  /**
   * Once: where it isn't known whether the server got it, it isn't sent again.
   *
   * @param {LiveAnswer} entry
   * @param {ToolCall} call
   * @param {ModelKey | null} model that reads the result
   */
  async function makeCall(entry, { server, tool, arguments: values }, model) {
    try {
      await post("tools/call", { id: entry.message.id, server, tool, arguments: values, model });
    } catch (error) {
      if (error instanceof Down) entry.isAsked = true;
      throw error;
    }
  }

  /**
   * The question stays stored, and can be asked again.
   *
   * @param {LiveAnswer} entry
   */
  function unread(entry) {
    entry.unread += 1;
    entry.askAt = Date.now() + RETRY;
    if (entry.unread === TRIES) return end(entry, { finish_reason: "error", error: { key: "storage_unreadable" } });
  }

  /**
   * @param {LiveAnswer} entry
   * @param {AnswerEnd} update
   */
  async function end(entry, update) {
    const { id, conversation } = entry.message;
    entry.ended = { content: contentOf(entry, update), ...update };
    changed(conversation, id);
    // If it can't be saved, it stays live, so that it is seen at least as long as this tab is open.
    const ended = entry.ended;
    await store.updateAnswer({ id, ...ended }).then(
      () => {
        live.delete(id);
        claims.delete(id);
        endedIn(conversation, { ...entry.message, ...ended });
      },
      (error) => (ended.unsaved = failure(error)),
    );
    changed(conversation, id);
  }

  /**
   * @param {LiveAnswer} entry
   * @param {AnswerState | null} state null: the server doesn't know the answer
   */
  async function apply(entry, state) {
    if (entry.ended) return; // it was stopped meanwhile
    if (state === null) {
      const { call, created, begun = "" } = entry.message;
      if (call && Date.now() - created < UNKNOWN) return; // another tab may be about to send it
      if (call || entry.content !== begun) return end(entry, { finish_reason: "interrupted" });
      entry.isAsked = false; // the server was restarted before it answered
      return ask(entry);
    }
    const { from = 0, text, tokens, tokens_from = 0, version } = state;
    const { finish_reason, figures, model, left_out, summarised, passages, cut, not_offered, error } = state;
    if (from > entry.content.length) {
      entry.version = -1; // what is between was lost: it is sent again from the beginning
      return;
    }
    if (text !== undefined) entry.content = entry.content.slice(0, from) + text;
    if (tokens) entry.tokens.splice(tokens_from, Infinity, ...tokens);
    Object.assign(entry, { state, version });
    if (finish_reason) {
      const kept = entry.tokens.length ? { tokens: entry.tokens } : {};
      const asked = finish_reason === "tool_calls" ? { calls: state.calls } : {};
      const said = { figures, model, left_out, summarised, passages, cut, not_offered, error };
      return end(entry, { finish_reason, ...said, ...kept, ...asked });
    }
    changed(entry.message.conversation, entry.message.id);
    if (Date.now() - entry.savedAt < SAVE || !entry.content) return;
    entry.savedAt = Date.now();
    await store.updateAnswer({ id: entry.message.id, content: entry.content }).catch(() => {}); // the store says why
  }

  /**
   * Does something for one answer. A fault ends that answer, and no other is kept from being followed.
   *
   * @param {LiveAnswer} entry
   * @param {() => Promise<unknown>} act
   */
  async function alone(entry, act) {
    try {
      await act();
    } catch (error) {
      if (error instanceof Down || error instanceof Refused) throw error;
      reportError(error);
      await end(entry, { finish_reason: "error", error: { key: "answer_lost", values: { reason: String(error) } } });
    }
  }

  const wanted = (entries) =>
    Object.fromEntries(
      entries.map(({ message, version, content, tokens }) => [
        message.id,
        { version, text: version < 0 ? 0 : content.length, tokens: version < 0 ? 0 : tokens.length },
      ]),
    );

  async function round() {
    const open = [...live.values()].filter((entry) => !entry.ended);
    if (open.length === 0) {
      reached(true); // or nothing is asked of it any more, as after Stop
      return pause(null);
    }
    for (const entry of open.filter(({ isAsked, askAt }) => !isAsked && askAt <= Date.now()))
      await alone(entry, () => ask(entry));
    const asked = open.filter((entry) => entry.isAsked && !entry.ended);
    if (asked.length === 0) return pause(RETRY);
    running = new AbortController();
    const { signal } = running;
    const states = await post("follow", wanted(asked), signal).catch((error) => {
      if (!signal.aborted) throw error;
    });
    if (!states) return; // something new is expected
    reached(true);
    for (const entry of asked) await alone(entry, () => apply(entry, states[entry.message.id] ?? null));
    return pause(PACE);
  }

  async function run() {
    for (;;) {
      try {
        await round();
      } catch (error) {
        reached(false, error);
        await pause(RETRY);
      }
    }
  }

  /**
   * Ends an answer that is expected; what has been written of it is kept.
   *
   * @param {string} [id] of its message; without one, nothing is done
   */
  async function stop(id) {
    const entry = live.get(id ?? "");
    if (!entry || entry.ended) return;
    const known =
      entry.isAsked &&
      (await post("stop", { id }).then(
        (answer) => answer.known,
        () => false,
      ));
    if (!known && !entry.ended) await end(entry, { finish_reason: "cancelled" });
  }

  expectStored();
  store.subscribe(({ conversation, grows }) => conversation && !grows && expectStored());
  run();
  return { live, expect, expectStored, stop };
}
