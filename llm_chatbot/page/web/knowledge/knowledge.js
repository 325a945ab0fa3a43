// "Knowledge": the collections, what is in them, and how far their indexes are. See page/knowledge.py.

import { below, currentLanguage, errorText, iconButton, make, number, text } from "../common/dom.js";
import { ICONS } from "../common/icons.js";
import { whyFailed } from "../server/requests.js";

/** @import { Collection } from "../types" */
/** @import { Collections } from "./collections.js" */

const POLL = 500; // milliseconds between two looks at an index that grows
const ENGLISH = "all-minilm-l6-v2";
const OTHER = "other";

/**
 * Opens the view over the page.
 *
 * @param {Collections} collections
 */
export function openKnowledge(collections) {
  let polling;
  const status = make("p", { role: "status", class: "view-status" });
  const list = make("div", { class: "collections" });
  const name = make("input", {
    type: "text",
    id: "collection-name",
    maxlength: 80,
    autocomplete: "off",
    required: true,
  });
  const encoder = make("select", { onchange: drawOther }, ["", ENGLISH, OTHER].map(option));
  const other = make("input", {
    type: "text",
    "aria-label": text("knowledge_encoder_name"),
    placeholder: "sentence-transformers/paraphrase-multilingual-MiniLM-L12-v2",
    autocomplete: "off",
    spellcheck: "false",
    hidden: true,
  });
  const dialog = make(
    "dialog",
    { class: "view knowledge", "aria-labelledby": "knowledge-title", onclose: close },
    make(
      "header",
      {},
      make("h2", { id: "knowledge-title" }, text("knowledge")),
      iconButton(ICONS.close, text("close"), () => dialog.close()),
    ),
    make("p", { class: "hint" }, text("knowledge_about")),
    make(
      "form",
      { class: "view-choice", onsubmit: create },
      make("label", { for: "collection-name" }, text("knowledge_name")),
      name,
      make("label", {}, text("knowledge_search_by"), encoder),
      other,
      make("button", { type: "submit", class: "primary" }, text("knowledge_make")),
    ),
    status,
    list,
  );

  function option(value) {
    const key = { "": "knowledge_words", [ENGLISH]: "knowledge_meaning", [OTHER]: "knowledge_other" }[value];
    const usual = currentLanguage() === "en" ? ENGLISH : "";
    return make("option", { value, selected: value === usual }, text(key));
  }

  function drawOther() {
    other.hidden = encoder.value !== OTHER;
    if (!other.hidden) other.focus();
  }

  function close() {
    clearTimeout(polling);
    dialog.remove();
  }

  // Does what the server is asked for; what it refuses is said.
  async function attempt(act) {
    try {
      status.textContent = "";
      await act();
    } catch (error) {
      status.textContent = whyFailed(error, "get_model_no_server");
    }
    draw();
    follow();
  }

  // Draws how far indexes are, until all have ended.
  function follow() {
    clearTimeout(polling);
    if (!dialog.isConnected || !collections.all().some(({ update }) => update?.running)) return;
    polling = setTimeout(async () => {
      await collections.ask("").catch(() => {}); // it is asked again
      draw();
      follow();
    }, POLL);
  }

  async function create(event) {
    event.preventDefault();
    const wanted = encoder.value === OTHER ? other.value.trim() : encoder.value;
    await attempt(async () => {
      const { result } = await collections.ask("/make", { name: name.value, encoder: wanted });
      name.value = "";
      if (result) await collections.use(result, true);
      draw();
      below(list, `[data-id="${result}"] .choose-files`)?.focus();
    });
  }

  /**
   * @param {string} id
   * @param {Iterable<File>} files
   */
  const add = (id, files) =>
    attempt(async () => {
      for (const file of files) {
        status.textContent = text("knowledge_sending", { name: file.name });
        await collections.upload(id, file);
      }
      status.textContent = "";
      await collections.ask("/update", { id });
    });

  function draw() {
    const kept = new Map([...list.children].map((child) => [child.getAttribute("data-id"), child]));
    const all = collections.all();
    list.replaceChildren(...all.map((collection) => drawn(collection, kept.get(collection.id))));
    if (all.length === 0) list.append(make("p", { class: "hint" }, text("knowledge_none")));
  }

  // A row is kept while its index grows: its buttons and what is typed stay.
  function drawn(collection, before) {
    const row = before ?? newRow(collection);
    row.querySelector(".facts").textContent = facts(collection);
    drawProgress(row, collection);
    drawErrors(row.querySelector(".errors"), collection);
    return row;
  }

  /** @param {Collection} collection */
  function facts({ documents, passages, encoder: used }) {
    const by = used ? text("knowledge_by_meaning", { name: used }) : text("knowledge_by_words");
    return `${text("knowledge_files", { count: documents })} · ${text("passages_count", { count: passages })} · ${by}`;
  }

  function drawProgress(row, { update }) {
    const { running = false, done = 0, total = 0, name: file = "", error = null } = update ?? {};
    const bar = row.querySelector("progress");
    bar.hidden = !running;
    bar.max = Math.max(1, total);
    bar.value = done;
    const values = { done: number(done), total: number(total), name: file };
    row.querySelector(".state").textContent = running
      ? text(total ? "knowledge_reading" : "knowledge_starting", values)
      : errorText(error);
  }

  function drawErrors(place, { errors }) {
    place.hidden = errors.length === 0;
    place.querySelector("summary").textContent = text("knowledge_unread", { count: errors.length });
    place.querySelector("ul").replaceChildren(...errors.map((error) => make("li", {}, errorText(error))));
  }

  /** @param {Collection} collection */
  function newRow({ id, name: title }) {
    const files = make("input", {
      type: "file",
      multiple: true,
      hidden: true,
      "aria-label": text("knowledge_add_files"),
      onchange: () => add(id, [...(files.files ?? [])]).then(() => (files.value = "")),
    });
    const folder = make("input", {
      type: "text",
      id: `path-${id}`,
      placeholder: text("knowledge_path_example"),
      autocomplete: "off",
      spellcheck: "false",
    });
    const addPath = (event) => {
      event.preventDefault();
      if (!folder.value.trim()) return folder.focus();
      attempt(async () => {
        await collections.ask("/add", { id, path: folder.value });
        folder.value = "";
      });
    };
    const button = (key, act, own = "") => make("button", { type: "button", class: own, onclick: act }, text(key));
    const box = make("input", { type: "checkbox", checked: collections.chosen().includes(id) });
    box.addEventListener("change", () => collections.use(id, box.checked));
    return make(
      "section",
      { "data-id": id, "aria-label": title },
      make("div", { class: "collection-head" }, make("h3", {}, title), make("label", {}, box, text("knowledge_use"))),
      make("p", { class: "facts hint" }),
      make(
        "div",
        { class: "view-choice" },
        button("knowledge_add_files", () => files.click(), "choose-files"),
        files,
        button("knowledge_update", () => attempt(() => collections.ask("/update", { id }))),
        button("knowledge_delete", (event) => confirmDelete(event.currentTarget, id), "danger"),
      ),
      collections.takesFolders() &&
        make(
          "form",
          { class: "view-choice", onsubmit: addPath },
          make("label", { for: folder.id }, text("knowledge_path")),
          folder,
          make("button", { type: "submit" }, text("knowledge_add_path")),
        ),
      make("progress", { hidden: true, "aria-label": text("knowledge_progress") }),
      make("p", { class: "state hint", role: "status" }),
      make("details", { class: "errors", hidden: true }, make("summary"), make("ul")),
    );
  }

  // The first press asks, the second one deletes.
  function confirmDelete(button, id) {
    if (button.dataset.asked) return attempt(() => collections.remove(id));
    button.dataset.asked = "1";
    button.textContent = text("knowledge_delete_sure");
    button.addEventListener("blur", () => {
      delete button.dataset.asked;
      button.textContent = text("knowledge_delete");
    });
  }

  document.body.append(dialog);
  dialog.showModal();
  attempt(() => collections.ask(""));
}
