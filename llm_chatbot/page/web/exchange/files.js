// Export of everything or of the shown conversation, and import.

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
  const element = make("div", {}, buttons, input, status);

  const say = (key, values) => (status.textContent = text(key, values));

  async function exportAll() {
    const { conversations } = await store.exportAll();
    const presets = (await store.value(PRESETS)) ?? [];
    download("conversations.json", "application/json", toJSON({ conversations, presets }));
  }

  function exportShown() {
    const messages = chat.path();
    if (messages.length === 0) return say("no_conversations");
    download("conversation.md", "text/markdown", toMarkdown(nameOf({ ...chat.conversation, messages }), messages));
  }

  async function load() {
    let added = 0;
    let known = 0;
    try {
      for (const file of input.files ?? []) {
        const { conversations, presets } = fromFile(await file.text(), knownSettings(server.settings));
        const counts = await store.importAll({ conversations });
        added += counts.added;
        known += counts.known;
        if (presets.length) await store.putValue(PRESETS, merged((await store.value(PRESETS)) ?? [], presets).presets);
      }
      status.textContent = [text("imported", { count: added }), known ? text("import_known", { count: known }) : ""]
        .join(" ")
        .trim();
    } catch (error) {
      if (!(error instanceof BadFile)) throw error;
      say(error.key);
    } finally {
      input.value = "";
    }
  }

  function draw() {
    const button = (key, act) => make("button", { type: "button", class: "text-button", onclick: act }, text(key));
    if (buttons.textContent !== "" && buttons.lang === document.documentElement.lang) return;
    buttons.lang = document.documentElement.lang;
    input.setAttribute("aria-label", text("import"));
    buttons.replaceChildren(
      button("export_json", exportAll),
      button("import", () => input.click()),
      button("export_markdown", exportShown),
    );
  }

  return { element, draw };
}
