// The conversation that this tab shows, and what can be done in it. It draws nothing: `changed()` is called after each
// change, and `path()` is what to draw.

import * as libraries from "../common/libraries.js";
import { newestLeaf, openCall, pathTo, siblings, turnsLeftOut } from "../store/branches.js";
import { newId } from "../store/store.js";
import { readOf, summaryMessage, summaryOn } from "../store/summaries.js";

/** @import { Following } from "../server/following.js" */
/** @import { Store } from "../store/store.js" */
/** @import { Attachment, Conversation, Message, Settings, ToolKey } from "../types" */

const DEFAULTS = "defaults"; // of the store: settings and model of the conversation that was set last

/**
 * @typedef {Awaited<ReturnType<typeof openChat>>} Chat
 *
 * @param {object} options
 * @param {Store} options.store
 * @param {(what?: "opened" | "added", inPlace?: boolean) => void} options.changed
 */
export async function openChat({ store, changed }) {
  let defaults = (await store.value(DEFAULTS)) ?? {};
  /** @type {Conversation} */
  let conversation;
  /** @type {Message[]} */
  let messages = [];
  /** @type {string | null} */
  let leaf = null;
  /** @type {Following} */
  let following;
  let openings = 0; // so that of two at a time the later one counts
  /** @type {ToolKey | null} */
  let forced = null; // the tool that the next answer has to call
  let saving = 0; // changes that are on their way to the store, which is behind until then

  /**
   * @param {string} id
   * @returns {Conversation}
   */
  const fresh = (id) => ({
    id,
    name: "",
    created: Date.now(),
    pinned: false,
    leaf: null,
    settings: { ...defaults.settings },
    model: defaults.model ?? null,
    isNew: true, // not in the store yet
  });

  /**
   * Opens a conversation. Instead of one that was deleted, such as Back may lead to, the one that is shown stays.
   *
   * @param {string | null} id null begins a new one
   * @param {string | null} [message] the branch that is shown has it
   * @param {boolean} [inPlace] see address.js
   */
  async function open(id, message = null, inPlace = false) {
    const opening = ++openings;
    const wanted = id ?? newId();
    const { conversation: stored, messages: storedMessages } = id ? await store.read(id) : {};
    if (opening !== openings) return;
    if (!stored?.removed || !conversation) {
      conversation = stored?.removed ? fresh(newId()) : (stored ?? fresh(wanted));
      messages = conversation.isNew ? [] : (storedMessages ?? []);
      leaf = message ? newestLeaf(messages, message) : shownLeaf();
    }
    changed("opened", inPlace);
  }

  // Where the branch ends that was shown last; where that isn't known, the newest one.
  function shownLeaf() {
    const known = messages.find(({ id }) => id === conversation.leaf);
    const newest = known ?? messages.filter(({ role }) => role !== "summary").sort((a, b) => b.created - a.created)[0];
    return newest ? newestLeaf(messages, newest.id) : null;
  }

  // Another tab may have added something, or an answer has been saved.
  async function refresh({ conversation: id, value, error }) {
    if (error) return;
    if (value === DEFAULTS) {
      const storedDefaults = await store.value(DEFAULTS);
      if (!saving) defaults = storedDefaults ?? {};
    }
    if (id !== conversation?.id || conversation.isNew) return;
    const { conversation: stored, messages: storedMessages } = await store.read(id);
    if (id !== conversation.id) return;
    if (!stored || stored.removed) return open(null, null, true);
    const storedIds = new Set(storedMessages.map((message) => message.id));
    const beingSaved = messages.filter((message) => !storedIds.has(message.id));
    messages = [...storedMessages, ...beingSaved];
    const { settings, model } = saving ? conversation : stored;
    conversation = { ...stored, settings, model, leaf: conversation.leaf };
    leaf = leaf ? newestLeaf(messages, leaf) : shownLeaf();
    changed();
  }

  /**
   * Adds messages below each other, and shows the branch that ends with the last one.
   *
   * @param {Message[]} added
   */
  async function add(...added) {
    const { isNew, ...head } = conversation;
    leaf = added[added.length - 1].id;
    conversation = { ...head, leaf, updated: Date.now() };
    messages = [...messages, ...added];
    changed("added");
    const update = isNew ? conversation : { id: head.id, leaf, updated: conversation.updated };
    await store.add(update, added);
    for (const message of added) if (message.role !== "user") following.expect(message);
  }

  /**
   * @param {Message["role"]} role
   * @param {string | null} parent
   * @param {string} content
   * @param {Partial<Message>} [more]
   * @returns {Message}
   */
  const message = (role, parent, content, more = {}) => ({
    id: newId(),
    conversation: conversation.id,
    parent,
    role,
    content,
    created: Date.now(),
    ...more,
  });
  /** @param {string} id of a message that is there */
  const find = (id) => /** @type {Message} */ (messages.find((message) => message.id === id));

  /**
   * @param {string} content
   * @param {string | null} parent
   * @param {Attachment[]} [attachments]
   */
  function ask(content, parent, attachments = []) {
    const question = message("user", parent, content, attachments.length ? { attachments } : {});
    const call = forced ? { forced } : {};
    forced = null;
    return add(question, message("assistant", question.id, "", { created: question.created + 1, ...call }));
  }

  /**
   * Adds a question with its answer, which came about elsewhere.
   *
   * @param {string | null} parent
   * @param {string} content
   * @param {Partial<Message>} answer
   */
  function keep(parent, content, answer) {
    const question = message("user", parent, content);
    return add(question, message("assistant", question.id, "", { ...answer, created: question.created + 1 }));
  }

  /**
   * @param {string} content
   * @param {Attachment[]} [attachments]
   */
  async function send(content, attachments) {
    if (openCall(path())) await add(...(await libraries.rounds()).refusals(path()));
    return ask(content, leaf, attachments);
  }

  /**
   * @param {string} id of a question, which is asked anew, or of an answer, which gets a version
   * @param {string} content
   * @param {Attachment[]} [attachments] of a question; without them, it keeps its own
   */
  function edit(id, content, attachments = find(id).attachments) {
    const { parent, role } = find(id);
    if (role === "user") return ask(content, parent, attachments);
    return add(message("assistant", parent, content, { finish_reason: "stop", edited: true }));
  }

  /**
   * @param {string} id of an answer, which gets a version
   * @param {Message["asked"]} [asked] what differs from the conversation
   */
  function regenerate(id, asked) {
    const { parent, forced } = find(id);
    return add(message("assistant", parent, "", { ...(asked ? { asked } : {}), ...(forced ? { forced } : {}) }));
  }

  /**
   * Adds an answer that begins with `begun`: a longer version of another, or one that goes another way.
   *
   * @param {string} id of the other
   * @param {string} begun
   * @param {Partial<Message>} [more]
   */
  const goOn = (id, begun, more = {}) => {
    const { parent, passages } = find(id);
    return add(message("assistant", parent, begun, { begun, ...(passages ? { passages } : {}), ...more }));
  };

  /** @param {string} id */
  function continueAnswer(id) {
    const { content } = find(id);
    return content ? goOn(id, content, { continues: id }) : regenerate(id);
  }

  /**
   * @param {string} id of the version that is shown
   * @param {number} step so many versions further is the one to show
   */
  async function showVersion(id, step) {
    const versions = siblings(messages, id);
    const shown = versions[versions.findIndex((version) => version.id === id) + step];
    if (!shown) return;
    leaf = newestLeaf(messages, shown.id);
    conversation = { ...conversation, leaf };
    changed();
    await store.putConversation({ id: conversation.id, leaf });
  }

  /**
   * A new conversation with the messages up to this one.
   *
   * @param {string} id
   */
  async function fork(id) {
    const ids = new Map();
    const now = Date.now();
    const originals = pathTo(messages, id);
    const copies = [...originals, ...summariesOf(originals)].map((original, index) => {
      ids.set(original.id, newId());
      const parent = ids.get(original.parent) ?? null;
      return {
        ...original,
        id: ids.get(original.id),
        parent,
        created: now + index,
        continues: undefined,
        unsaved: undefined,
      };
    });
    const { settings, model, temporary } = conversation;
    const { isNew, ...head } = { ...fresh(newId()), settings, model, ...(temporary ? { temporary } : {}) };
    const { name, title } = conversation;
    const stored = { ...head, name, ...(title ? { title } : {}), updated: now, leaf: copies[originals.length - 1].id };
    const ended = (copy) =>
      copy.role !== "user" && !copy.finish_reason ? { ...copy, finish_reason: "interrupted" } : copy;
    await store.add(
      stored,
      copies.map((copy) => ended({ ...copy, conversation: stored.id })),
    );
    await open(stored.id);
  }

  /** @param {Message[]} originals */
  function summariesOf(originals) {
    const ids = new Set(originals.map(({ id }) => id));
    return messages.filter(({ role, parent }) => role === "summary" && ids.has(parent ?? ""));
  }

  /** @param {string} content of the summary that counts; "" deletes it */
  async function reviseSummary(content) {
    const { id } = conversation;
    const revised = summaryMessage(id, summaryOn(path(), messages)?.message.parent ?? null, content);
    messages = [...messages, revised];
    changed();
    await store.add({ id }, [revised]);
  }

  /**
   * Settings and model belong to the conversation, and the next new one begins with them.
   *
   * @param {Partial<Pick<Conversation, "settings" | "model">>} update
   */
  async function change(update) {
    conversation = { ...conversation, ...update };
    if (conversation.temporary) return changeTemporary(update);
    defaults = { settings: conversation.settings, model: conversation.model };
    changed();
    // At once, so that a question that follows is asked with it.
    saving += 1;
    const kept = conversation.isNew ? null : store.putConversation({ id: conversation.id, ...update });
    await Promise.all([kept, store.putValue(DEFAULTS, defaults)]).finally(() => (saving -= 1));
  }

  // What is set there is no default of others.
  async function changeTemporary(update) {
    changed();
    if (!conversation.isNew) await store.putConversation({ id: conversation.id, ...update });
  }

  /**
   * Makes a conversation in which nothing was said yet a temporary one, or not.
   *
   * @param {boolean} temporary
   */
  function makeTemporary(temporary) {
    if (!conversation.isNew) return;
    conversation = { ...conversation, temporary };
    changed();
  }

  /**
   * Gives a conversation a name, which it keeps.
   *
   * @param {string} id
   * @param {string} name
   */
  const rename = (id, name) => store.putConversation({ id, name });

  const path = () => pathTo(messages, leaf);

  /** @param {ToolKey | null} key of the tool that the next answer has to call */
  function force(key) {
    forced = key;
    changed();
  }

  // How the summary at the same place read that was there last, also where it was deleted.
  const lastSummary = ({ parent }) =>
    messages.filter((each) => each.role === "summary" && each.parent === parent && each.content).at(-1)?.content ?? "";

  // The latest answer's prompt was without it, as the context has no room for all turns.
  const isLeftOut = (id) => turnsLeftOut(path()).has(id);

  const running = () =>
    path().find((message) => !message.finish_reason && following.live.get(message.id)?.ended === null);

  store.subscribe(refresh);
  return {
    start: (started, id) => {
      following = started;
      return open(id);
    },
    get conversation() {
      return conversation;
    },
    versions: (id) => siblings(messages, id),
    path,
    openCall: () => openCall(path()),
    force,
    forced: () => forced,
    read: () => readOf(path(), messages),
    summary: () => summaryOn(path(), messages),
    lastSummary,
    reviseSummary,
    isLeftOut,
    running,
    stop: () => following.stop(running()?.id),
    open,
    send,
    keep,
    edit,
    regenerate,
    continueAnswer,
    goOn,
    showVersion,
    fork,
    change,
    makeTemporary,
    rename,
  };
}
