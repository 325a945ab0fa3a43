// What holds for the whole conversation: its preset, its system prompt and what else differs from the defaults, on one
// line above its messages.

import { make, text } from "../common/dom.js";
import { PRESETS } from "../store/presets.js";

/** @import { Store } from "../store/store.js" */
/** @import { Preset, ServerState } from "../types" */
/** @import { Chat } from "./chat.js" */

/**
 * @param {object} options
 * @param {ServerState} options.server
 * @param {Pick<Store, "value" | "subscribe">} options.store
 * @param {Chat} options.chat
 * @param {() => void} options.change called where the line is pressed
 */
export function standingView({ server, store, chat, change }) {
  const element = make("button", { type: "button", class: "standing", dir: "auto", onclick: change });
  /** @type {Preset[]} */
  let presets = [];

  async function refresh() {
    presets = (await store.value(PRESETS)) ?? [];
    draw();
  }

  function draw() {
    if (!chat.conversation) return; // the presets were there first
    const { preset: id, system_prompt: prompt, ...others } = chat.conversation.settings;
    const preset = presets.find((each) => each.id === id);
    const numbers = server.settings.filter(({ name }) => others[name] !== undefined);
    const parts = [
      preset && make("strong", {}, preset.name),
      prompt && make("span", { class: "prompt" }, `“${String(prompt).trim().replace(/\s+/g, " ")}”`),
      ...numbers.map(({ name }) => make("span", {}, `${text(name)} ${others[name]}`)),
    ];
    const shown = parts.filter((part) => part instanceof Node);
    element.hidden = shown.length === 0;
    element.title = text("instructions_change");
    element.setAttribute(
      "aria-label",
      `${text("instructions_change")}: ${shown.map((it) => it.textContent).join(", ")}`,
    );
    element.replaceChildren(...shown);
  }

  store.subscribe(({ value }) => value === PRESETS && refresh());
  refresh();
  return { element, draw };
}
