// The button beside the box that says which tools the conversation's answers may ask for.

import { errorText, iconButton, make, text } from "../common/dom.js";
import { ICONS } from "../common/icons.js";
import { addPopup } from "../common/popup.js";
import { post, whyFailed } from "../server/requests.js";
import { visible } from "./calls.js";
import { chosenTools, withTools } from "./chosen.js";
import { hasKey } from "./rounds.js";

/** @import { Chat } from "../conversation/chat.js" */
/** @import { LoadedModel, ToolKey, ToolServer } from "../types" */
/** @import { WithRounds } from "./rounds.js" */

const POLL = 500; // milliseconds between two looks at servers that start

/**
 * @param {object} options
 * @param {Chat} options.chat
 * @param {WithRounds} options.rounds does something with the rounds of calls
 * @param {() => Partial<LoadedModel>} options.model that answers
 */
export function toolsChoice({ chat, rounds, model }) {
  const count = make("span", { class: "count", "aria-hidden": "true" });
  const button = iconButton(ICONS.tool, "", () => ask());
  button.append(count);
  const popup = addPopup(button, { class: "tools-choice", label: () => text("tools"), content });
  const element = make("div", { class: "menu-place" }, button, popup.element);
  /** @type {ToolServer[] | null} */
  let servers = null;
  let said = "";
  let drawn = ""; // what of the conversation the popup shows

  /**
   * @param {string} [path] below /page/tools
   * @param {Record<string, string>} [data]
   */
  async function ask(path = "", data = {}) {
    try {
      servers = (await post(`tools${path}`, data)).servers;
      said = "";
    } catch (error) {
      said = whyFailed(error, "get_model_no_server");
    }
    if (!popup.isOpen()) return;
    redraw();
    if (servers?.some(({ state }) => state === "starting")) setTimeout(() => popup.isOpen() && ask(), POLL);
  }

  // The focus stays on the same control.
  function redraw() {
    const before = document.activeElement;
    const marked = before?.getAttribute("data-control");
    popup.draw();
    const same = [...popup.element.querySelectorAll("[data-control]")].find(
      (each) => each.getAttribute("data-control") === marked,
    );
    const next = same ?? popup.element.querySelector("input, button");
    if (next instanceof HTMLElement && (marked || before === button || before === document.body)) next.focus();
  }

  /** @param {ToolKey[]} keys @param {boolean} isUsed */
  async function use(keys, isUsed) {
    const others = chosenTools(chat.conversation.settings).filter((other) => !hasKey(keys, other));
    if (!isUsed && chat.forced() && hasKey(keys, /** @type {ToolKey} */ (chat.forced()))) chat.force(null);
    await chat.change({ settings: withTools(chat.conversation.settings, isUsed ? [...others, ...keys] : others) });
  }

  const shown = () => JSON.stringify([chat.conversation.settings.tools, chat.conversation.allowed, chat.forced()]);

  function content() {
    drawn = shown();
    return [
      make("p", { class: "hint" }, text("tools_info")),
      make("p", { class: "hint" }, text(model().tools ? "tools_trained" : "tools_untrained")),
      ...(servers ?? []).map(section),
      servers?.length === 0 && make("p", { class: "hint" }, text("tools_no_servers")),
      said && make("p", { class: "hint error", role: "alert" }, said),
      make("p", { class: "hint" }, text("tools_sent")),
    ];
  }

  /** @param {ToolServer} server */
  function section({ name, state, tools, error }) {
    const chosen = chosenTools(chat.conversation.settings);
    /** @type {ToolKey[]} */
    const keys = tools.map((tool) => [name, tool.name]);
    const used = keys.filter((key) => hasKey(chosen, key)).length;
    const box = make("input", {
      type: "checkbox",
      "data-control": `server ${name}`,
      disabled: tools.length === 0,
      onchange: () => use(keys, box.checked),
    });
    box.checked = used > 0 && used === keys.length;
    box.indeterminate = used > 0 && used < keys.length;
    const again = make(
      "button",
      {
        type: "button",
        class: "text-button",
        "data-control": `again ${name}`,
        onclick: () => ask("/restart", { server: name }),
      },
      text("tools_start_again"),
    );
    const isReady = state === "running" && tools.length > 0;
    return make(
      "section",
      { "aria-label": name },
      make("div", { class: "server" }, make("label", {}, box, make("strong", {}, name)), state !== "starting" && again),
      state === "starting" && make("p", { class: "hint", role: "status" }, text("tools_starting")),
      error && make("p", { class: "hint error", role: "alert" }, errorText(error)),
      state === "running" && !isReady && make("p", { class: "hint" }, text("tools_none")),
      ...tools.map((tool) => row([name, tool.name], tool.description)),
    );
  }

  /**
   * @param {ToolKey} key
   * @param {string} description
   */
  function row(key, description) {
    const [server, tool] = key;
    const isUsed = hasKey(chosenTools(chat.conversation.settings), key);
    const box = make("input", {
      type: "checkbox",
      "data-control": `tool ${server} ${tool}`,
      onchange: () => use([key], box.checked),
    });
    box.checked = isUsed;
    const isNext = Boolean(chat.forced() && hasKey([/** @type {ToolKey} */ (chat.forced())], key));
    const next = iconButton(ICONS.right, text("tools_next", { tool }), () => callNext(key, !isNext), {
      "aria-pressed": String(isNext),
      "data-control": `next ${server} ${tool}`,
    });
    return make(
      "div",
      { class: "tool" },
      make("label", {}, box, make("span", {}, visible(tool), make("small", {}, visible(description)))),
      next,
      hasKey(chat.conversation.allowed, key) && allowedLine(key),
    );
  }

  /** @param {ToolKey} key @param {boolean} isNext */
  async function callNext(key, isNext) {
    chat.force(isNext ? key : null);
    if (isNext && !hasKey(chosenTools(chat.conversation.settings), key)) await use([key], true);
  }

  /** @param {ToolKey} key */
  function allowedLine(key) {
    const ask = () => rounds((all) => all.allow(chat.conversation.id, chat.conversation, key, false));
    return make(
      "p",
      { class: "hint" },
      text("tools_always_here"),
      " · ",
      make(
        "button",
        { type: "button", class: "text-button", onclick: ask },
        text("tools_asks_again", { tool: key[1] }),
      ),
    );
  }

  function draw() {
    const used = chosenTools(chat.conversation.settings).length;
    const forced = chat.forced();
    const label = [used ? text("tools_used", { count: used }) : text("tools")];
    if (forced) label.push(text("tools_next_chosen", { tool: forced[1] }));
    button.title = label.join(" · ");
    button.setAttribute("aria-label", button.title);
    button.classList.toggle("used", used > 0);
    count.textContent = used ? String(used) : "";
    if (popup.isOpen() && shown() !== drawn) redraw();
  }

  return { element, draw };
}
