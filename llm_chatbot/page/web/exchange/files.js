// Export of everything or of the shown conversation, and import.

import { onNextAction } from "../common/actions.js";
import { make, text } from "../common/dom.js";
import * as libraries from "../common/libraries.js";
import { nameOf } from "../conversation/name.js";
import { pathTo } from "../store/branches.js";
import { knownSettings, merged, PRESETS } from "../store/presets.js";
import { mergedPrompts, PROMPTS } from "../store/prompts.js";

/** @import { Chat } from "../conversation/chat.js" */
/** @import { Store } from "../store/store.js" */
/** @import { ServerState } from "../types" */

const LONGEST_NAME = 60; // characters

/**
 * A conversation's name as a file may have it on every system.
 *
 * @param {string} name
 */
export const fileName = (name) =>
  name
    .replace(/[\x00-\x1f<>:"/\\|?*]+/g, " ")
    .replace(/\s+/g, " ")
    .slice(0, LONGEST_NAME)
    .replace(/^[ .]+|[ .]+$/g, "") || "conversation";

function download(name, type, content) {
  const link = make("a", { href: URL.createObjectURL(new Blob([content], { type })), download: name });
  link.click();
  URL.revokeObjectURL(link.href);
}

/**
 * @param {object} options
 * @param {ServerState} options.server
 * @param {Store} options.store
 * @param {Chat} options.chat
 * @param {() => Promise<Element>} options.drawn the messages that are shown, all drawn
 */
export function filesView({ server, store, chat, drawn }) {
  const status = make("p", { role: "status", class: "hint" });
  const input = make("input", {
    type: "file",
    accept: ".json,.md,.jsonl,.txt",
    multiple: true,
    hidden: true,
    onchange: load,
  });
  const element = make("div", { class: "transfer" }, input, status);

  function say(...sentences) {
    status.textContent = sentences.filter(Boolean).join(" ");
    onNextAction(() => (status.textContent = ""));
  }

  async function exportAll() {
    const { toJSON } = await libraries.transfer();
    const { conversations } = await store.exportAll();
    const presets = (await store.value(PRESETS)) ?? [];
    download(
      "conversations.json",
      "application/json",
      toJSON({ conversations, presets, prompts: (await store.value(PROMPTS)) ?? [] }),
    );
  }

  function exportShown() {
    const messages = chat.path();
    if (messages.length === 0) return say(text("nothing_to_export"));
    exportBranch(nameOf({ ...chat.conversation, messages }), messages);
  }

  async function exportPage() {
    const messages = chat.path();
    if (messages.length === 0) return say(text("nothing_to_export"));
    const { toHTML } = await import("./html.js");
    const name = nameOf({ ...chat.conversation, messages });
    download(`${fileName(name)}.html`, "text/html", toHTML(name, await drawn()));
  }

  /** @param {string} id of a conversation, whose branch that was shown last is exported */
  async function exportOne(id) {
    if (id === chat.conversation.id) return exportShown();
    const { conversation, messages } = await store.read(id);
    if (!conversation || messages.length === 0) return say(text("nothing_to_export"));
    exportBranch(nameOf({ ...conversation, messages }), pathTo(messages, conversation.leaf ?? messages[0].id));
  }

  async function exportBranch(name, path) {
    const { toMarkdown } = await libraries.transfer();
    download(`${fileName(name)}.md`, "text/markdown", toMarkdown(name, path));
  }

  async function load() {
    const files = [...(input.files ?? [])];
    input.value = "";
    let added = 0;
    let known = 0;
    const failures = [];
    const { BadFile, fromFile } = await libraries.transfer();
    for (const file of files) {
      try {
        const counts = await loadOne(file, fromFile);
        added += counts.added;
        known += counts.known;
      } catch (error) {
        // The others are still read.
        failures.push(error instanceof BadFile ? text(error.key, { name: file.name }) : whyNotLoaded(file.name, error));
      }
    }
    const isAnyGood = failures.length < files.length;
    say(
      isAnyGood && text("imported", { count: added }),
      isAnyGood && known > 0 && text("import_known", { count: known }),
      ...failures,
    );
  }

  async function loadOne(file, fromFile) {
    const { conversations, presets, prompts } = fromFile(await file.text(), knownSettings(server.settings));
    const counts = await store.importAll({ conversations });
    if (presets.length) await store.putValue(PRESETS, merged((await store.value(PRESETS)) ?? [], presets).presets);
    if (prompts.length) await store.putValue(PROMPTS, mergedPrompts((await store.value(PROMPTS)) ?? [], prompts));
    return counts;
  }

  function whyNotLoaded(name, error) {
    if (error instanceof DOMException) return text("import_failed", { name, reason: error.message });
    reportError(error); // a bug of ours, of which the page says something all the same
    return text("bad_import", { name });
  }

  const draw = () => input.setAttribute("aria-label", text("import"));

  return { element, draw, exportAll, exportShown, exportPage, exportOne, say, choose: () => input.click() };
}
