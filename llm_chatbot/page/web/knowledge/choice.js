// The button beside the box that says which collections answers are given passages of.

import { below, iconButton, make, text } from "../common/dom.js";
import { ICONS } from "../common/icons.js";
import { addPopup } from "../common/popup.js";
import { whyFailed } from "../server/requests.js";

/** @import { Collections } from "./collections.js" */

/**
 * @param {object} options
 * @param {Collections} options.collections
 * @param {() => void} options.manage opens the view of all collections
 */
export function knowledgeChoice({ collections, manage }) {
  const button = iconButton(ICONS.book, "");
  const count = make("span", { class: "count", "aria-hidden": "true" });
  button.append(count);
  let said = "";
  const popup = addPopup(button, { class: "knowledge-choice", label: () => text("knowledge"), content });
  button.addEventListener("click", refresh);
  const element = make("div", { class: "menu-place" }, button, popup.element);

  function content(close) {
    const chosen = collections.chosen();
    const row = ({ id, name, passages }) => {
      const box = make("input", { type: "checkbox", checked: chosen.includes(id) });
      box.addEventListener("change", () => collections.use(id, box.checked));
      return make(
        "label",
        {},
        box,
        make("span", {}, name),
        make("small", {}, text("passages_count", { count: passages })),
      );
    };
    const open = () => {
      close();
      manage();
    };
    return [
      make("p", { class: "hint" }, text("knowledge_info")),
      ...collections.all().map(row),
      said && make("p", { class: "hint error", role: "alert" }, said),
      make("button", { type: "button", class: "text-button", onclick: open }, text("knowledge_manage")),
    ];
  }

  async function refresh() {
    try {
      await collections.ask("");
      said = "";
    } catch (error) {
      said = whyFailed(error, "get_model_no_server");
    }
    if (popup.isOpen()) popup.draw();
    below(popup.element, "input, button")?.focus();
  }

  function draw() {
    const used = collections.chosen().length;
    const label = used ? text("knowledge_used", { count: used }) : text("knowledge");
    button.title = label;
    button.setAttribute("aria-label", label);
    button.classList.toggle("used", used > 0);
    count.textContent = used ? String(used) : "";
  }

  return { element, draw };
}
