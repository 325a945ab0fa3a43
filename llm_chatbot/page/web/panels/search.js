// Finds and orders conversations. Pure functions: they read what they are given, and draw nothing.

import { dateFormat, relativeTimeFormat } from "../common/formats.js";

/** @import { Conversation, Message, WholeConversation } from "../types" */

const ASCII = /^[\x00-\x7f]*$/;
const ACCENTS = /[\u0300-\u036f]/g; // of Latin, Greek and Cyrillic letters; not the voicing marks of Japanese

/**
 * A text as it is compared: lower case, without accents, full-width letters as usual ones.
 *
 * @param {string} text
 * @returns {{ folded: string; starts: number[] | null }} `starts[i]` is where in the text the i-th character of
 *   `folded` comes from; null: at i
 */
export function fold(text) {
  if (ASCII.test(text)) return { folded: text.toLowerCase(), starts: null };
  let folded = "";
  const starts = [];
  let at = 0;
  for (const character of text) {
    const plain = character.normalize("NFKD").replace(ACCENTS, "").normalize("NFC").toLowerCase();
    for (let i = 0; i < plain.length; i++) starts.push(at);
    folded += plain;
    at += character.length;
  }
  starts.push(at);
  return { folded, starts };
}

/** @type {Map<string, ReturnType<typeof fold>>} */
const folds = new Map(); // of the contents that were searched last
const MAX_FOLDS = 100_000;

function foldedOnce(content) {
  let known = folds.get(content);
  if (!known) {
    if (folds.size >= MAX_FOLDS) folds.clear();
    known = fold(content);
    folds.set(content, known);
  }
  return known;
}

const SLICE = 8; // milliseconds at a time

/**
 * Makes conversations ready to be searched, a little at a time, so that no key has to wait for it.
 *
 * @param {WholeConversation[]} conversations
 */
export async function prepare(conversations) {
  let started = performance.now();
  for (const conversation of conversations)
    for (const [, content] of contents(conversation)) {
      foldedOnce(content);
      if (performance.now() - started < SLICE) continue;
      await new Promise((resolve) => setTimeout(resolve));
      started = performance.now();
    }
}

// The terms of a query: words, and "several words" in quotes. All of them are looked for.
function termsOf(query) {
  const terms = [...query.matchAll(/"([^"]+)"|([^\s"]+)/g)].map(([, phrase, word]) =>
    fold(phrase ?? word).folded.trim(),
  );
  return [...new Set(terms.filter(Boolean))];
}

/**
 * The conversations that have every term in their name or messages, in the given order.
 *
 * @typedef {object} Place
 * @property {Message | null} message null: in the name
 * @property {string} [file] the name of the sent file that has it
 * @property {string} before
 * @property {string} match
 * @property {string} after
 *
 * @typedef {{ conversation: WholeConversation; places: Place[]; more: number }} Found more: places beyond the limit
 *
 * @param {string} query
 * @param {WholeConversation[]} conversations
 * @param {{ limit?: number }} [options] limit: of places
 * @returns {Found[]}
 */
export function search(query, conversations, { limit = 3 } = {}) {
  const terms = termsOf(query);
  if (!terms.length) return conversations.map((conversation) => ({ conversation, places: [], more: 0 }));
  return conversations.flatMap((conversation) => {
    const missing = new Set(terms);
    const found = [];
    for (const [message, content, file] of contents(conversation)) {
      const match = matchIn(content, terms, missing);
      if (match) found.push({ message, content, file, match });
    }
    if (missing.size) return [];
    const places = found
      .slice(0, limit)
      .map(({ message, content, file, match }) => ({ message, file, ...placeOf(content, match) }));
    return [{ conversation, places, more: found.length - places.length }];
  });
}

/**
 * What is searched of a conversation: of summaries, the messages that they stand for.
 *
 * @typedef {[message: Message | null, content: string, file?: string]} Content
 *
 * @param {WholeConversation} conversation
 */
function* contents({ name, title, messages }) {
  if (name || title) yield/** @type {Content} */ ([null, name || title]);
  for (const message of messages.filter(({ role }) => role !== "summary")) {
    yield/** @type {Content} */ ([message, message.content]);
    for (const { name, text, picture } of message.attachments ?? [])
      yield/** @type {Content} */ (picture ? [message, name] : [message, text, name]);
    for (const call of message.calls ?? []) yield/** @type {Content} */ ([message, call.arguments, call.tool]);
  }
}

// The first match of a term in a folded content; the terms that it has are taken from `missing`.
function matchIn(content, terms, missing) {
  const { folded } = foldedOnce(content);
  /** @type {[start: number, end: number] | null} */
  let first = null;
  for (const term of terms) {
    const at = folded.indexOf(term);
    if (at < 0) continue;
    missing.delete(term);
    if (!first || at < first[0]) first = [at, at + term.length];
  }
  return first;
}

// A match in the content itself, with what is around it.
function placeOf(content, first) {
  const { starts } = foldedOnce(content);
  const [start, end] = starts ? first.map((at) => starts[at]) : first;
  return snippet(content, start, Math.max(end, start + 1));
}

const BEFORE = 24;
const AFTER = 60;

// What is around a match, on one line and cut at words where there are spaces.
function snippet(content, start, end) {
  const line = (part) => part.replace(/\s+/g, " ");
  let from = Math.max(0, start - BEFORE);
  let to = Math.min(content.length, end + AFTER);
  if (from > 0) from = afterSpace(content, from, start);
  if (to < content.length) to = beforeSpace(content, end, to);
  return {
    before: (from > 0 ? "…" : "") + line(content.slice(from, start)).trimStart(),
    match: line(content.slice(start, end)),
    after: line(content.slice(end, to)).trimEnd() + (to < content.length ? "…" : ""),
  };
}

function afterSpace(content, from, start) {
  const space = content.slice(from, start).search(/\s/);
  return space < 0 ? wholeCharacter(content, from) : from + space + 1;
}

function beforeSpace(content, end, to) {
  const space = content.slice(end, to).search(/\s\S*$/);
  return space < 0 ? wholeCharacter(content, to) : end + space;
}

// A place that is not in the middle of a surrogate pair.
const wholeCharacter = (content, at) => (/[\udc00-\udfff]/.test(content[at] ?? "") ? at + 1 : at);

/**
 * Conversations by the day they were last changed in, newest first; pinned ones are a group of their own, at the top.
 *
 * @template {Conversation} Any
 * @param {Any[]} conversations
 * @param {{ now?: number; language?: string; labels: { pinned: string; week: string } }} options labels: in the
 *   language; the other labels are the browser's
 * @returns {{ label: string; conversations: Any[] }[]}
 */
export function groupByDate(conversations, { now = Date.now(), language = "en", labels }) {
  const groups = new Map();
  const add = (label, conversation) => {
    const members = groups.get(label);
    if (members) members.push(conversation);
    else groups.set(label, [conversation]);
  };
  const byAge = [...conversations].sort((a, b) => (b.updated ?? 0) - (a.updated ?? 0));
  for (const conversation of byAge.filter(({ pinned }) => pinned)) add(labels.pinned, conversation);
  for (const conversation of byAge.filter(({ pinned }) => !pinned))
    add(dayLabel(conversation.updated, now, language, labels), conversation);
  return [...groups].map(([label, members]) => ({ label, conversations: members }));
}

/**
 * The list: pinned conversations, the folders by name, the others by date, and what is archived.
 *
 * @typedef {{ key: string; label: string; isFolder: boolean; conversations: WholeConversation[] }} Group
 *
 * @param {WholeConversation[]} conversations
 * @param {{ now?: number; language?: string; labels: { pinned: string; week: string; archived: string } }} options
 * @returns {Group[]}
 */
export function groups(conversations, options) {
  const { labels, language } = options;
  const archived = conversations.filter((conversation) => conversation.archived);
  const kept = conversations.filter((conversation) => !conversation.archived);
  const inFolders = Map.groupBy(
    kept.filter(({ folder, pinned }) => folder && !pinned),
    ({ folder }) => folder ?? "",
  );
  const byName = [...inFolders].sort(([a], [b]) => a.localeCompare(b, language));
  const dated = groupByDate(
    kept.filter(({ folder, pinned }) => !folder || pinned),
    options,
  ).map((group) => ({ ...group, key: group.label, isFolder: false }));
  const pinned = dated.filter(({ label }) => label === labels.pinned);
  return [
    ...pinned,
    ...byName.map(([folder, members]) => ({
      key: `folder ${folder}`,
      label: folder,
      isFolder: true,
      conversations: members,
    })),
    ...dated.filter((group) => !pinned.includes(group)),
    ...(archived.length ? [{ key: "archived", label: labels.archived, isFolder: true, conversations: archived }] : []),
  ];
}

function dayLabel(time, now, language, labels) {
  const days = daysBetween(time, now);
  if (days <= 1) {
    const relative = relativeTimeFormat(language, { numeric: "auto" }).format(-Math.max(0, days), "day");
    return relative.charAt(0).toLocaleUpperCase(language) + relative.slice(1);
  }
  if (days <= 7) return labels.week;
  const sameYear = new Date(time).getFullYear() === new Date(now).getFullYear();
  return dateFormat(language, { month: "long", ...(sameYear ? {} : { year: "numeric" }) }).format(time);
}

// Midnights between two times, in the time zone of the browser; a day with a change of the clock is one day too.
function daysBetween(earlier, later) {
  const midnight = (time) => new Date(time).setHours(0, 0, 0, 0);
  return Math.round((midnight(later) - midnight(earlier)) / 86_400_000);
}
