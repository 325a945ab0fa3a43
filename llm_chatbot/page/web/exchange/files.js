// Export of everything or of the shown conversation, and import.

import { onNextAction } from "../common/actions.js";
import { make, text } from "../common/dom.js";
import { knownSettings, merged, PRESETS } from "../store/presets.js";
import { BadFile, fromFile, toJSON, toMarkdown } from "./transfer.js";

/** @import { Chat } from "../conversation/chat.js" */
/** @import { Store } from "../store/store.js" */
/** @import { ServerState, WholeConversation } from "../types" */

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
 * @param {(conversation: WholeConversation) => string} options.nameOf
 */
export function filesView({ server, store, chat, nameOf }) {
  const status = make("p", { role: "status", class: "hint" });
  const input = make("input", {
    type: "file",
    accept: ".json,.md,.jsonl,.txt",
    multiple: true,
    hidden: true,
    onchange: load,
  });
  const buttons = make("div", { class: "transfer" });
  const place = make("p", { class: "hint" });
  const element = make("div", {}, buttons, input, status, place);

  function say(...sentences) {
    status.textContent = sentences.filter(Boolean).join(" ");
    onNextAction(() => (status.textContent = ""));
  }

  async function exportAll() {
    const { conversations } = await store.exportAll();
    const presets = (await store.value(PRESETS)) ?? [];
    download("conversations.json", "application/json", toJSON({ conversations, presets }));
  }

  function exportShown() {
    const messages = chat.path();
    if (messages.length === 0) return say(text("nothing_to_export"));
    download("conversation.md", "text/markdown", toMarkdown(nameOf({ ...chat.conversation, messages }), messages));
  }

  async function load() {
    const files = [...(input.files ?? [])];
    input.value = "";
    let added = 0;
    let known = 0;
    const failures = [];
    for (const file of files) {
      try {
        const counts = await loadOne(file);
        added += counts.added;
        known += counts.known;
      } catch (error) {
        failures.push(whyNotLoaded(file.name, error)); // the others are still read
      }
    }
    const isAnyGood = failures.length < files.length;
    say(
      isAnyGood && text("imported", { count: added }),
      isAnyGood && known > 0 && text("import_known", { count: known }),
      ...failures,
    );
  }

  async function loadOne(file) {
    const { conversations, presets } = fromFile(await file.text(), knownSettings(server.settings));
    const counts = await store.importAll({ conversations });
    if (presets.length) await store.putValue(PRESETS, merged((await store.value(PRESETS)) ?? [], presets).presets);
    return counts;
  }

  function whyNotLoaded(name, error) {
    if (error instanceof BadFile) return text(error.key, { name });
    if (error instanceof DOMException) return text("import_failed", { name, reason: error.message });
    reportError(error); // a bug of ours, of which the page says something all the same
    return text("bad_import", { name });
  }

  function draw() {
    const button = (key, act) => make("button", { type: "button", class: "text-button", onclick: act }, text(key));
    if (buttons.textContent !== "" && buttons.lang === document.documentElement.lang) return;
    buttons.lang = document.documentElement.lang;
    place.textContent = text("conversations_place", { address: location.origin });
    input.setAttribute("aria-label", text("import"));
    buttons.replaceChildren(
      button("export_json", exportAll),
      button("import", () => input.click()),
      button("export_markdown", exportShown),
    );
  }

  return { element, draw };
}
