// The passages that an answer was given, numbered; each opens at its place in its file.

import { errorText, iconButton, make, text } from "../common/dom.js";
import { ICONS } from "../common/icons.js";
import { post, whyFailed } from "../server/requests.js";

/** @import { QuotedPassage } from "../types" */

const PAGE = 60_000; // characters of a file around a passage that are drawn

/**
 * @returns {{ element: HTMLDetailsElement, draw: (passages?: QuotedPassage[]) => void }}
 */
export function passagesView() {
  const summary = make("summary");
  const list = make("ol");
  const element = make("details", { class: "passages" }, summary, list);
  let drawn = "";

  function draw(passages) {
    element.hidden = !passages;
    if (!passages) return;
    summary.textContent = passages.length ? text("passages_given", { count: passages.length }) : text("passages_none");
    element.classList.toggle("none", passages.length === 0);
    const signature = JSON.stringify(passages);
    if (signature === drawn) return;
    drawn = signature;
    list.replaceChildren(...passages.map(item));
  }

  return { element, draw };
}

/** @param {QuotedPassage} passage */
function placeOf({ kind, label, heading, first_line: first, last_line: last }) {
  const place = kind ? text(`place_${kind}`, { label }) : text("place_lines", { first, last });
  return heading ? `${place} · ${heading}` : place;
}

/** @param {QuotedPassage} passage */
function item(passage) {
  const { number, name } = passage;
  const open = make(
    "button",
    { type: "button", class: "text-button", onclick: () => openPassage(passage) },
    `[${number}] ${name}`,
  );
  return make("li", {}, open, make("small", {}, placeOf(passage)), make("blockquote", {}, passage.text));
}

/**
 * Shows a passage marked in the text of its file.
 *
 * @param {QuotedPassage} passage
 */
async function openPassage(passage) {
  const { collection, document: id, name, start, end, text: quoted } = passage;
  const body = make("pre", { tabindex: 0 });
  const status = make("p", { role: "status", class: "view-status" }, text("knowledge_opening"));
  const dialog = make(
    "dialog",
    { class: "view document", "aria-labelledby": "document-title", onclose: () => dialog.remove() },
    make(
      "header",
      {},
      make("div", {}, make("h2", { id: "document-title" }, name), make("p", { class: "hint" }, placeOf(passage))),
      iconButton(ICONS.close, text("close"), () => dialog.close()),
    ),
    status,
    body,
  );
  document.body.append(dialog);
  dialog.showModal();
  try {
    const found = await post("knowledge/document", { id: collection, document: id });
    const isThere = found.text.slice(start, end) === quoted;
    status.textContent = isThere ? "" : errorText({ key: "knowledge_changed" });
    show(body, found.text, start, end);
  } catch (error) {
    status.textContent = whyFailed(error, "get_model_no_server");
    body.textContent = quoted;
  }
}

function show(body, whole, start, end) {
  const from = Math.max(0, start - PAGE);
  const mark = make("mark", {}, whole.slice(start, end));
  body.replaceChildren(whole.slice(from, start), mark, whole.slice(end, end + PAGE));
  mark.scrollIntoView({ block: "center" });
  body.focus({ preventScroll: true });
}
