// The same question to two models, side by side. See page/compare.py.

import { iconButton, make, number, text } from "../common/dom.js";
import { ICONS } from "../common/icons.js";
import { post, Refused, whyFailed } from "../server/requests.js";
import { newId } from "../store/store.js";

/** @import { Chat } from "../conversation/chat.js" */
/** @import { Message, ModelKey, Settings } from "../types" */

const PACE = 100; // milliseconds between two looks at an answer
const SIDES = ["left", "right"];

/**
 * Opens the view over the page.
 *
 * @param {object} options
 * @param {{ title: string; key: ModelKey }[]} options.choices at least two
 * @param {ModelKey} options.chosen the first
 * @param {ReturnType<Chat["read"]>} options.read what the model reads of the conversation so far
 * @param {Settings} options.settings of the conversation
 * @param {(kept: { question: string; key: ModelKey; answer: Partial<Message> & { content: string } }) => void}
 *   options.keep goes on with one of the answers
 */
export function openCompare({ choices, chosen, read, settings, keep }) {
  const run = { id: "", asked: "" }; // the answer that is expected, and the question
  const box = make("textarea", { dir: "auto", id: "compare-question", rows: 3 });
  const first = Math.max(
    0,
    choices.findIndex(({ key }) => String(key) === String(chosen)),
  );
  const status = make("p", { role: "status", class: "view-status" });
  const columns = { left: column("left", first), right: column("right", first === 0 ? 1 : 0) };
  const start = make("button", { type: "submit", class: "primary" }, text("compare_run"));
  const dialog = make(
    "dialog",
    { class: "view compare", "aria-labelledby": "compare-title", onclose: close },
    make(
      "header",
      {},
      make("h2", { id: "compare-title" }, text("compare")),
      iconButton(ICONS.close, text("get_model_close"), () => dialog.close()),
    ),
    make(
      "form",
      { onsubmit: ask },
      make("label", { for: "compare-question" }, text("compare_question")),
      box,
      make(
        "div",
        { class: "view-choice" },
        SIDES.map((side) => columns[side].label),
        start,
      ),
    ),
    status,
    make(
      "div",
      { class: "compare-columns" },
      SIDES.map((side) => columns[side].element),
    ),
  );

  function column(side, index) {
    const select = make(
      "select",
      {},
      choices.map(({ title }, at) => make("option", { value: at, selected: at === index }, title)),
    );
    const answer = make("div", { class: "compare-answer" });
    const figures = make("p", { class: "compare-figures" });
    const heading = make("h3");
    const actions = make("div");
    const element = make(
      "section",
      { class: "compare-column", "aria-label": text(`compare_${side}`) },
      heading,
      answer,
      figures,
      actions,
    );
    return {
      select,
      label: make("label", {}, text(`compare_${side}`), select),
      element,
      heading,
      answer,
      figures,
      actions,
    };
  }

  async function ask(event) {
    event.preventDefault();
    const content = box.value.trim();
    if (!content) return box.focus();
    start.disabled = true;
    status.textContent = "";
    run.asked = content;
    const sides = SIDES.map((side) => ({ ...columns[side], ...choices[columns[side].select.value], content: "" }));
    for (const { heading, title, answer, figures, actions } of sides) {
      heading.textContent = title;
      answer.textContent = figures.textContent = "";
      actions.replaceChildren();
    }
    sides[1].answer.textContent = text("compare_waiting");
    try {
      // One after the other, so that each has the whole machine and the speeds can be compared.
      for (const side of sides) if (dialog.isConnected) await follow(side, content);
      if (dialog.isConnected) await mark(sides);
    } catch (error) {
      status.textContent = whyFailed(error, "get_model_no_server");
    } finally {
      run.id = "";
      start.disabled = false;
    }
  }

  async function follow(side, content) {
    const id = newId();
    run.id = id;
    const messages = [...read.messages, { role: "user", content }];
    side.answer.textContent = text("compare_loading");
    await post("ask", { id, conversation: id, model: side.key, settings, ...read, messages });
    for (let version = -1; dialog.isConnected; ) {
      const state = (await post("follow", { [id]: { version, text: side.content.length } }))[id];
      if (!state) throw new Refused(404, { key: "get_model_no_server" });
      if (state.text !== undefined) side.content = side.content.slice(0, state.from) + state.text;
      version = state.version;
      draw(side, state);
      if (state.error) throw new Refused(400, state.error);
      if (state.finish_reason) {
        const { finish_reason, figures, model } = state;
        side.kept = { finish_reason, figures, model };
        return;
      }
      await new Promise((resolve) => setTimeout(resolve, PACE));
    }
  }

  function draw(side, { phase, figures }) {
    const waiting = { waiting: "compare_reading", loading: "compare_loading", reading: "compare_reading" }[phase];
    side.answer.textContent = side.content || (waiting ? text(waiting) : "");
    if (figures?.completion_tokens)
      side.figures.textContent = text("compare_figures", {
        speed: number(figures.tokens_per_second, 1),
        count: number(figures.completion_tokens),
      });
  }

  async function mark(sides) {
    const [left, right] = sides;
    const parts = await post("compare", { left: left.content, right: right.content, model: left.key });
    [parts.left, parts.right].forEach((marked, index) =>
      sides[index].answer.replaceChildren(
        ...marked.map((part) => (part.differs ? make("mark", {}, part.text) : part.text)),
      ),
    );
    status.textContent = text(left.content === right.content ? "compare_same" : "compare_marked");
    for (const side of sides)
      side.actions.replaceChildren(
        make("button", { type: "button", onclick: () => choose(side) }, text("compare_keep")),
      );
  }

  function choose({ content, key, kept }) {
    dialog.close();
    keep({ question: run.asked, key, answer: { content, ...kept } });
  }

  function close() {
    if (run.id) post("stop", { id: run.id }).catch(() => {});
    dialog.remove();
  }

  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}
