// The dialog in which the reader chooses what of a long text goes in.

import { make, number, text } from "../common/dom.js";
import { estimateTokens } from "./message_text.js";
import { parts } from "./parts.js";

/** @import { DraftFile } from "../types" */

const CHARACTERS_OF_A_TOKEN = 3; // for parts that fit: fewer than most texts have
const SHARE_OF_A_PART = 1 / 8; // of the room that there is

/**
 * @param {DraftFile} file
 * @param {number | null} room tokens that it may have; null: not known
 * @param {(chosen: DraftFile) => void} use called with the file as it goes in
 */
export function choosePart(file, room, use) {
  const whole = file.whole ?? file.text;
  const free = room ?? estimateTokens(whole);
  const list = parts(whole, Math.max(500, Math.round(free * SHARE_OF_A_PART * CHARACTERS_OF_A_TOKEN)));
  const boxes = list.map((part) => {
    const checked = file.chosen?.includes(part.text) ?? file.whole === undefined;
    const box = make("input", { type: "checkbox", checked, onchange: count });
    const size = make("small", {}, text("about_tokens", { count: number(estimateTokens(part.text)) }));
    return { part, box, row: make("label", {}, box, make("span", {}, text(part.key, part.values)), size) };
  });
  const sum = make("p", { class: "hint", role: "status" });
  const chosen = () => boxes.filter(({ box }) => box.checked).map(({ part }) => part.text);

  function count() {
    const tokens = estimateTokens(chosen().join(""));
    sum.textContent = text("chosen_of_room", { count: number(tokens), room: number(free) });
    sum.classList.toggle("error", tokens > free);
  }

  function checkAll(checked) {
    boxes.forEach(({ box }) => (box.checked = checked));
    count();
  }

  function submit() {
    const content = chosen().join("");
    if (content) use({ name: file.name, text: content, tokens: estimateTokens(content), whole, chosen: chosen() });
  }

  const textButton = (key, onclick) => make("button", { type: "button", class: "text-button", onclick }, text(key));
  const dialog = make(
    "dialog",
    { class: "parts", "aria-label": text("choose_parts"), onclose: () => dialog.remove() },
    make(
      "form",
      { method: "dialog", onsubmit: submit },
      make("h2", {}, file.name),
      make("p", { class: "hint" }, text("choose_parts")),
      make(
        "div",
        { class: "row" },
        textButton("all_parts", () => checkAll(true)),
        textButton("no_parts", () => checkAll(false)),
      ),
      make(
        "div",
        { class: "list" },
        boxes.map(({ row }) => row),
      ),
      sum,
      make(
        "div",
        { class: "row end" },
        textButton("cancel", () => dialog.close()),
        make("button", { class: "primary" }, text("use_parts")),
      ),
    ),
  );
  count();
  document.querySelector("#chat-page")?.append(dialog);
  dialog.showModal();
}
