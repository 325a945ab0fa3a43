// One message of the conversation as an element that is updated while its answer grows.

import { below, currentLanguage, errorText, focused, iconButton, make, number, text } from "../common/dom.js";
import { ICONS } from "../common/icons.js";
import { copy as copyText } from "../markdown/code.js";
import { renderInto } from "../markdown/markdown.js";
import { renderTyped } from "../markdown/typed.js";
import { isTooLong } from "../server/question.js";
import { editBox, fileItem } from "./edit_box.js";
import { insideView } from "./inside.js";
import { drawProgress } from "./progress.js";

/** @import { AnswerState, Attachment, Message } from "../types" */
/** @import { Chat } from "./chat.js" */

const LONG = { characters: 1500, lines: 15 }; // of a question; of a longer one, only the beginning is shown at first
const REASONING = /^\s*<think>([\s\S]*?)(<\/think>\s*|$)/;

/**
 * The reasoning that an answer begins with, the answer itself, and whether the reasoning has not ended yet.
 *
 * @param {string} content
 * @param {boolean} isAnswer a question has none
 */
function withoutReasoning(content, isAnswer) {
  const match = isAnswer ? REASONING.exec(content) : null;
  if (!match) return { reasoning: "", answer: content, thinking: false };
  return { reasoning: match[1].trim(), answer: content.slice(match[0].length), thinking: match[2] === "" };
}

const labels = () => ({
  copy: text("copy"),
  copied: text("copied"),
  copyCode: text("copy_code"),
  table: text("table"),
});

/**
 * The numbers below an answer, on one line.
 *
 * @param {Message} message
 */
function figuresLine({ figures = {}, finish_reason = "", model }) {
  const { completion_tokens: count = 0, tokens_per_second = 0, time_to_first_token = 0 } = figures;
  const values = {
    tokens: text("tokens", { count: number(count) }),
    tokens_per_second: number(tokens_per_second, 1),
    time_to_first_token: number(time_to_first_token, 2),
    cached_tokens: number(figures.cached_tokens ?? 0),
    prompt_tokens: number(figures.prompt_tokens ?? 0),
  };
  if (count === 1) values.tokens = text("tokens", { count });
  const ending = {
    length: "ended_by_length",
    cancelled: "ended_by_stop",
    stopped: "ended_by_stop",
    interrupted: "interrupted",
  };
  const parts = count ? [text("figures", values)] : [];
  if (finish_reason in ending) parts.push(text(ending[finish_reason]));
  if (model) parts.push(model);
  return parts.join(" · ");
}

/**
 * What is said below a message.
 *
 * @param {Message} message
 * @param {boolean} expected
 */
function noteLines({ role, error, finish_reason, left_out = 0, unsaved }, expected) {
  return [
    !expected && errorText(error ?? (finish_reason === "error" ? {} : null)),
    !expected && isTooLong(error) && text("too_long_way_out"),
    left_out > 0 && text("left_out", { count: left_out }),
    unsaved && role === "assistant" && text(unsaved),
  ];
}

const isLong = (content) => content.length > LONG.characters || content.split("\n").length > LONG.lines;

/**
 * A view of a message.
 *
 * @typedef {object} Shown
 * @property {Message} message
 * @property {boolean} expected
 * @property {Message[]} versions
 * @property {boolean} isLast
 * @property {boolean} looksInside
 * @property {string} signature of all that is drawn
 * @property {AnswerState} [state]
 *
 * @param {Pick<Chat, "continueAnswer" | "edit" | "fork" | "goOn" | "regenerate" | "showVersion">} actions
 * @param {(content: string, attachments: Attachment[]) => string} refusal why a question can't be sent, or ""
 */
export function messageView(actions, refusal) {
  const reasoning = make("div", { class: "markdown" });
  const summary = make("summary");
  const fold = make("details", { class: "reasoning" }, summary, reasoning);
  const body = make("div", { class: "markdown body" });
  const unfold = make("button", { type: "button", class: "text-button unfold", onclick: () => showAll(!showsAll) });
  const inside = insideView((begun) => actions.goOn(shown.message.id, begun));
  const progress = make("div", { class: "progress" });
  const files = make("ul", { class: "files" });
  const note = make("p", { class: "note" });
  const figures = make("p", { class: "figures" });
  const buttons = make("div", { class: "actions" });
  const element = make(
    "article",
    { class: "message" },
    files,
    fold,
    body,
    unfold,
    inside.element,
    progress,
    note,
    figures,
    buttons,
  );
  let shown = /** @type {Shown} */ ({ signature: "" });
  /** @type {HTMLFormElement | null} */
  let editing = null;
  /** @type {boolean | null} */
  let opened = null; // whether the figures were opened or closed by hand
  let showsAll = false; // of a long question
  let drawnButtons;

  /**
   * @param {Message} message with the content of the answer so far
   * @param {object} options
   * @param {AnswerState} [options.state] while it is expected
   * @param {Message[]} options.versions its siblings, and itself
   * @param {boolean} options.isLast of the branch that is shown
   * @param {boolean} options.looksInside
   * @param {string} options.language
   */
  function update(message, { state, versions, isLast, looksInside, language }) {
    const expected = state !== undefined;
    const signature = JSON.stringify([
      message.content.length,
      message.finish_reason,
      message.unsaved,
      state,
      versions.map((version) => version.id),
      isLast,
      looksInside,
      language,
    ]);
    if (signature === shown.signature) return;
    shown = { message, expected, versions, isLast, looksInside, signature, state };
    element.className = `message ${message.role}`;
    element.dataset.id = message.id;
    element.dataset.finish = expected ? "" : (message.finish_reason ?? "");
    element.setAttribute("aria-label", text(message.role === "user" ? "you" : "answer"));
    element.setAttribute("aria-busy", String(expected));
    if (!editing) draw();
  }

  function draw() {
    const { message, expected, state, looksInside } = shown;
    body.dataset.testid = message.role === "user" ? "user" : "bot";
    const parts = withoutReasoning(message.content, message.role === "assistant");
    fold.hidden = !parts.reasoning;
    if (parts.reasoning) {
      summary.textContent = text(parts.thinking && expected ? "thinking_now" : "reasoning");
      renderInto(reasoning, parts.reasoning, { streaming: parts.thinking && expected, labels: labels() });
    }
    if (message.role === "user") renderTyped(body, message.content, labels());
    else renderInto(body, parts.answer, { streaming: expected && !parts.thinking, labels: labels() });
    const looks = looksInside && Boolean(message.tokens?.length);
    inside.element.hidden = !looks;
    if (looks) inside.draw(message, !expected);
    body.hidden = !parts.answer || looks;
    unfold.hidden = message.role !== "user" || !isLong(message.content);
    showAll(showsAll);
    if (looks) fold.hidden = true;
    files.replaceChildren(...(message.attachments ?? []).map((file) => fileItem(file)));
    files.hidden = !message.attachments?.length;
    drawProgress(progress, state ?? null, message.content);
    drawEnd();
  }

  function showAll(all) {
    showsAll = all;
    body.classList.toggle("folded", !unfold.hidden && !all);
    unfold.textContent = text(all ? "show_less" : "show_all");
    unfold.setAttribute("aria-expanded", String(all));
  }

  function drawEnd() {
    const { message, expected, versions, isLast } = shown;
    note.textContent = noteLines(message, expected).filter(Boolean).join(" ");
    note.hidden = !note.textContent;
    note.classList.toggle("error", message.finish_reason === "error" || Boolean(message.unsaved));
    const line = expected || message.role === "user" ? "" : figuresLine(message);
    figures.textContent = line;
    figures.hidden = !line || !(opened ?? isLast);
    // While the answer grows, its buttons stay: one that is made anew while the pointer is down on it gets no click.
    const growing = expected && JSON.stringify([versions.map((version) => version.id), currentLanguage()]);
    if (growing && growing === drawnButtons) return;
    drawnButtons = growing;
    const pressed = buttons.contains(document.activeElement) && focused()?.title;
    buttons.replaceChildren(...(expected ? versionButtons(message, versions) : allButtons(message, versions, line)));
    if (pressed) below(buttons, `[title="${pressed}"]`)?.focus({ preventScroll: true });
  }

  function versionButtons({ id }, versions) {
    if (versions.length < 2) return [];
    const place = versions.findIndex((version) => version.id === id) + 1;
    const step = (by, name, icon) =>
      iconButton(ICONS[icon], text(name), () => actions.showVersion(id, by), { disabled: !versions[place - 1 + by] });
    const label = text("version", { place, count: versions.length });
    return [
      step(-1, "previous_version", "left"),
      make("span", { class: "place", "aria-label": label }, `${place}/${versions.length}`),
      step(1, "next_version", "right"),
    ];
  }

  /**
   * @param {Message} message
   * @param {Message[]} versions
   * @param {string} line of figures
   */
  function allButtons(message, versions, line) {
    const { id, role, finish_reason = "", content, error } = message;
    const isAnswer = role === "assistant";
    const { answer } = withoutReasoning(content, isAnswer);
    const again = isAnswer && (finish_reason === "error" || !content) && !isTooLong(error);
    const canContinue =
      isAnswer && content && ["length", "cancelled", "stopped", "interrupted"].includes(finish_reason);
    return [
      ...versionButtons(message, versions),
      canContinue &&
        make(
          "button",
          { type: "button", class: "text-button", onclick: () => actions.continueAnswer(id) },
          text("continue"),
        ),
      again &&
        make(
          "button",
          { type: "button", class: "text-button", onclick: () => actions.regenerate(id) },
          text("try_again"),
        ),
      content && iconButton(ICONS.copy, text("copy_message"), (event) => copy(event.currentTarget, answer || content)),
      iconButton(ICONS.pen, text(isAnswer ? "edit_answer" : "edit"), edit),
      isAnswer && !again && iconButton(ICONS.repeat, text("regenerate"), () => actions.regenerate(id)),
      iconButton(ICONS.fork, text("fork"), () => actions.fork(id)),
      line &&
        iconButton(ICONS.info, text("figures_shown"), toggleFigures, {
          "aria-pressed": String(!figures.hidden),
          class: "icon info",
        }),
    ].filter((button) => button instanceof HTMLElement);
  }

  function toggleFigures(event) {
    opened = Boolean(figures.hidden);
    figures.hidden = !opened;
    event.currentTarget.setAttribute("aria-pressed", String(opened));
  }

  async function copy(button, content) {
    if (!(await copyText(content))) return;
    button.setAttribute("aria-label", text("copied"));
    button.replaceChildren(...iconButton(ICONS.done, "").childNodes);
    setTimeout(() => !button.isConnected || drawEnd(), 1500);
  }

  // An answer is saved as a version of its own, a question is asked anew.
  function edit() {
    const { message } = shown;
    const isQuestion = message.role === "user";
    const opener = focused();
    const close = () => {
      editing?.remove();
      editing = null;
      element.classList.remove("editing");
      draw();
    };
    const box = editBox({
      message,
      refusal: isQuestion ? refusal : () => "",
      cancel: () => {
        close();
        const button = below(buttons, `[title="${text(isQuestion ? "edit" : "edit_answer")}"]`);
        (opener?.isConnected ? opener : button)?.focus({ preventScroll: true });
      },
      save: (content, attachments) => {
        close();
        actions.edit(message.id, content, attachments);
      },
    });
    editing = box.element;
    element.classList.add("editing");
    body.after(editing);
    box.focus();
    editing.scrollIntoView({ block: "nearest" });
  }

  return { element, update, showAll, edit: () => !shown.expected && edit() };
}
