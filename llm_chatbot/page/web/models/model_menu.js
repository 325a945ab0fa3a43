// The model's name in the head, and the menu below it: what is on this machine, how large and how fast it is.

import { below, focused, icon, make, number, text } from "../common/dom.js";
import { ICONS } from "../common/icons.js";
import { addPopup } from "../common/popup.js";
import { fold } from "../panels/search.js";

/** @import { ModelChoice, ServerState } from "../types" */
/** @import { Loading, ModelChooser } from "./chooser.js" */

/**
 * @param {object} options
 * @param {ServerState} options.server
 * @param {ModelChooser} options.chooser
 */
export function modelMenu({ server, chooser }) {
  const name = make("span", { class: "chip-name" });
  const button = make("button", { type: "button", id: "model-chip" }, name, icon(ICONS.chevron));
  const bar = make("div", { class: "model-loading", role: "status" });
  const list = make("ul");
  const search = make("input", { type: "search", oninput: drawList });
  const popup = addPopup(button, {
    class: "model-menu",
    label: () => text("model"),
    content: () => {
      search.value = "";
      search.placeholder = text("find_model");
      search.setAttribute("aria-label", text("find_model"));
      drawList();
      drawLoading();
      chooser.refresh();
      return [search, list, bar, foot()];
    },
  });
  const element = make("div", { class: "menu-place" }, button, popup.element);
  const canChoose = () => server.models.length > 0 || server.get_models;

  function drawList() {
    const wanted = fold(search.value).folded.split(/\s+/).filter(Boolean);
    const found = server.models.filter(({ title }) => wanted.every((word) => fold(title).folded.includes(word)));
    list.replaceChildren(...found.map(row));
    if (found.length === 0) list.append(make("li", { class: "hint" }, text("no_model_found")));
  }

  // The focus stays on the model that has it.
  function drawListAgain() {
    const title = list.contains(document.activeElement) && focused()?.dataset.title;
    drawList();
    if (title) below(list, `[data-title="${CSS.escape(title)}"]`)?.focus();
  }

  /** @param {ModelChoice} choice */
  function row(choice) {
    const [chosen, precision, device] = chooser.key();
    const isChosen = choice.name === chosen && choice.precision === precision;
    return make(
      "li",
      {},
      make(
        "button",
        {
          type: "button",
          class: "choice",
          "data-title": choice.title,
          "aria-pressed": String(isChosen),
          onclick: () => (isChosen ? popup.close() : chooser.use([choice.name, choice.precision, device])),
        },
        make("strong", {}, choice.name),
        make("span", { class: "precision" }, choice.label),
        make("small", {}, facts(choice).join(" · ")),
        isChosen && icon(ICONS.done),
      ),
    );
  }

  function foot() {
    const [name, precision, device] = chooser.key();
    const devices = make(
      "select",
      {
        "aria-label": text("device"),
        onchange: (event) => chooser.use([name, precision, event.currentTarget.value]),
      },
      server.devices.map((each) => make("option", { value: each, selected: each === device }, each)),
    );
    const act = (key, open) => {
      const onclick = () => {
        popup.close(true);
        open();
      };
      return make("button", { type: "button", class: "text-button", onclick }, text(key));
    };
    return make(
      "div",
      { class: "foot" },
      server.devices.length > 1 && devices,
      server.get_models && act("get_another", chooser.get),
      server.models.length > 1 && act("compare", chooser.compare),
    );
  }

  function drawLoading() {
    const { loading } = chooser;
    name.textContent = loading ? loadingLine(loading) : shortTitle();
    button.title = chooser.model().title;
    button.classList.toggle("loads", loading !== null);
    if (!popup.isOpen() && bar.childElementCount === 0 && !loading) return;
    if (!loading) return bar.replaceChildren(chooser.said);
    const passed = (Date.now() - loading.since) / 1000;
    const progress = make("progress", { "aria-label": text("model_loading"), max: loading.expected ?? false });
    if (loading.expected) progress.value = Math.min(passed, 0.98 * loading.expected);
    bar.replaceChildren(progress, make("span", {}, loadingLine(loading)));
  }

  function draw() {
    button.disabled = !canChoose();
    button.setAttribute("aria-label", `${text("model")}: ${chooser.model().title}`);
    drawLoading();
  }

  // Without the device where there is only one.
  function shortTitle() {
    const { title } = chooser.model();
    const [, , device] = chooser.key();
    return server.devices.length > 1 || !device ? title : title.replace(` · ${device}`, "");
  }

  chooser.subscribe(() => {
    draw();
    if (popup.isOpen()) drawListAgain();
  });
  return { element, draw, open: () => popup.isOpen() || popup.open() };
}

/**
 * What is known of a model on one line.
 *
 * @param {ModelChoice} choice
 * @returns {string[]}
 */
export function facts({ size, context, tokens_per_second: speed, loaded, load_seconds: seconds }) {
  const parts = [];
  if (size) parts.push(size < 1e9 ? `${number(size / 1e6)} MB` : `${number(size / 1e9, 1)} GB`);
  if (context) parts.push(text("context_of", { count: number(context) }));
  if (speed) parts.push(text("speed", { speed: number(speed, speed < 10 ? 1 : 0) }));
  if (loaded) parts.push(text("in_memory"));
  else if (seconds) parts.push(text("loads_in", { seconds: number(Math.max(1, Math.round(seconds))) }));
  return parts;
}

/** @param {Loading} loading */
function loadingLine({ since, expected }) {
  const passed = number(Math.floor((Date.now() - since) / 1000));
  if (!expected) return text("loading_for", { passed });
  return text("loading_of", { passed, expected: number(Math.max(1, Math.round(expected))) });
}
