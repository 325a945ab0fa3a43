// One message of the conversation as an element that is updated while its answer grows.

import { below, currentLanguage, errorText, focused, iconButton, make, text } from "../common/dom.js";
import { ICONS } from "../common/icons.js";
import * as libraries from "../common/libraries.js";
import { fileItem, withUnread } from "../composer/file_item.js";
import { passagesView } from "../knowledge/passages.js";
import { copy as copyText } from "../markdown/code.js";
import { renderInto } from "../markdown/markdown.js";
import { renderTyped } from "../markdown/typed.js";
import { isTooLong } from "../server/question.js";
import { againMenu } from "./again.js";
import { editBox } from "./edit_box.js";
import { figuresButton, timeOf } from "./figures.js";
import { insideView } from "./inside.js";
import { drawProgress } from "./progress.js";

/** @import { AnswerState, Figures, Message, ServerState } from "../types" */
/** @import { WithRounds } from "../tools/rounds.js" */
/** @import { Room } from "../composer/room.js" */
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

export const labels = () => ({
  copy: text("copy"),
  copied: text("copied"),
  copyCode: text("copy_code"),
  table: text("table"),
  wrap: text("wrap"),
  numbers: text("line_numbers"),
  download: text("download"),
  preview: text("preview"),
});

const CUT = {
  length: "ended_by_length",
  cancelled: "ended_by_stop",
  stopped: "ended_by_stop",
  interrupted: "interrupted",
};

/**
 * What is said below a message.
 *
 * @param {Message} message
 * @param {boolean} expected
 */
function noteLines(message, expected) {
  const { role, error, finish_reason, left_out = 0, summarised = 0, not_offered = [], unsaved } = message;
  return [
    ...not_offered.map(errorText),
    !expected && role !== "tool" && errorText(error ?? (finish_reason === "error" ? {} : null)),
    !expected && isTooLong(error) && text("too_long_way_out"),
    summarised > 0 && text("read_summarised", { count: summarised }),
    left_out > 0 && text("left_out", { count: left_out }),
    unsaved && role !== "user" && text(unsaved),
  ];
}

// Prompt and answer took all that the model can read.
/** @param {Figures} [figures] */
const isFull = ({ prompt_tokens = 0, completion_tokens = 0, context_length } = {}) =>
  Boolean(context_length) && prompt_tokens + completion_tokens >= Number(context_length) - 1;

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
 * @property {boolean} fillsContext the answer ended where the context did
 * @property {number} unread so many of its pictures, the first ones, are no longer read
 * @property {string} signature of all that is drawn
 * @property {AnswerState} [state]
 *
 * @param {Chat} actions
 * @param {ServerState} server
 * @param {Room} room
 * @param {WithRounds} rounds does something with the rounds of calls
 */
export function messageView(actions, server, room, rounds) {
  const reasoning = make("div", { class: "markdown" });
  const summary = make("summary");
  const fold = make("details", { class: "reasoning" }, summary, reasoning);
  const body = make("div", { class: "markdown body" });
  const unfold = make("button", { type: "button", class: "text-button unfold", onclick: () => showAll(!showsAll) });
  const inside = insideView((begun) => actions.goOn(shown.message.id, begun), labels);
  const progress = make("div", { class: "progress" });
  const files = make("ul", { class: "files" });
  const note = make("p", { class: "note" });
  const calls = make("div", { class: "calls", hidden: true });
  const passages = passagesView();
  const ending = make("div", { class: "ending" });
  const buttons = make("div", { class: "actions" });
  const element = make(
    "article",
    { class: "message" },
    files,
    fold,
    body,
    unfold,
    inside.element,
    calls,
    progress,
    passages.element,
    note,
    ending,
    buttons,
  );
  let shown = /** @type {Shown} */ ({ signature: "" });
  /** @type {HTMLFormElement | null} */
  let editing = null;
  let showsAll = false; // of a long question
  /** @type {boolean | null} */
  let looksByHand = null; // whether the tokens were shown or hidden by hand
  let drawnButtons;
  let isRevealed = false; // all of it is drawn, and not only its text

  /**
   * @param {Message} message with the content of the answer so far
   * @param {object} options
   * @param {AnswerState} [options.state] while it is expected
   * @param {Message[]} options.versions its siblings, and itself
   * @param {boolean} options.isLast of the branch that is shown
   * @param {boolean} options.looksInside
   * @param {string} options.language
   * @param {boolean} options.isNear otherwise there is only its text, until `reveal`
   * @param {number} [options.unread] see `Shown`
   */
  function update(message, { state, versions, isLast, looksInside, language, isNear, unread = 0 }) {
    if (isNear) isRevealed = true;
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
      isRevealed,
      unread,
    ]);
    if (signature === shown.signature) return;
    const fillsContext = isFull(message.figures);
    shown = { message, expected, versions, isLast, looksInside, signature, state, fillsContext, unread };
    element.className = `message ${message.role}${isRevealed ? "" : " undrawn"}`;
    element.dataset.id = message.id;
    element.dataset.finish = expected ? "" : (message.finish_reason ?? "");
    element.setAttribute("aria-label", labelOf(message));
    element.setAttribute("aria-busy", String(expected));
    body.dataset.testid = { user: "user", assistant: "bot", tool: "tool" }[message.role];
    if (!isRevealed) body.textContent = message.content;
    else if (!editing) draw();
  }

  function reveal() {
    if (isRevealed) return;
    isRevealed = true;
    body.replaceChildren();
    element.classList.remove("undrawn");
    draw();
  }

  function draw() {
    const { message, expected, state } = shown;
    const parts = withoutReasoning(message.content, message.role === "assistant");
    fold.hidden = !parts.reasoning;
    if (parts.reasoning) {
      summary.textContent = text(parts.thinking && expected ? "thinking_now" : "reasoning");
      renderInto(reasoning, parts.reasoning, { streaming: parts.thinking && expected, labels: labels() });
    }
    if (message.role === "user") renderTyped(body, message.content, labels());
    else renderInto(body, parts.answer, { streaming: expected && !parts.thinking, labels: labels() });
    const looks = isLookedInto();
    inside.element.hidden = !looks;
    if (looks) inside.draw(message, !expected);
    body.hidden = !parts.answer || looks || message.role === "tool";
    unfold.hidden = message.role !== "user" || !isLong(message.content);
    showAll(showsAll);
    if (looks) fold.hidden = true;
    files.replaceChildren(
      ...withUnread(message.attachments, shown.unread).map(([file, isUnread]) => {
        const open = async () => (await libraries.fileView()).showFile(file, actions.isLeftOut(message.id), isUnread);
        return fileItem(file, open, { isUnread });
      }),
    );
    files.hidden = !message.attachments?.length;
    passages.draw(state?.passages ?? message.passages);
    drawProgress(progress, (message.role !== "tool" && state) || null, message.content || (state?.calls ? " " : ""));
    drawCalls();
    drawEnd();
  }

  // What an answer asks for, or what a call has given.
  async function drawCalls() {
    const { role, calls: asked = shown.state?.calls } = shown.message;
    calls.hidden = !asked && role !== "tool";
    if (calls.hidden) return;
    const { drawCalls: drawAsked, drawResult } = await libraries.calls();
    const { message, expected, state } = shown; // as it is by now
    const now = message.calls ?? state?.calls;
    if (message.call) drawResult(calls, { ...message, call: message.call }, expected);
    else if (now) drawAsked(calls, now);
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
    drawEnding(message, expected);
    element.classList.toggle("last", isLast);
    // While the answer grows, its buttons stay: one that is made anew while the pointer is down on it gets no click.
    const growing = expected && JSON.stringify([versions.map((version) => version.id), currentLanguage()]);
    if (growing && growing === drawnButtons) return;
    drawnButtons = growing;
    const pressed = buttons.contains(document.activeElement) && focused()?.title;
    buttons.replaceChildren(...(expected ? versionButtons(message, versions) : allButtons(message, versions)));
    if (pressed) below(buttons, `[title="${pressed}"]`)?.focus({ preventScroll: true });
  }

  // Why an answer was cut, and the way on.
  function drawEnding({ id, role, content, finish_reason = "" }, expected) {
    const isCut = role === "assistant" && !expected && finish_reason in CUT;
    ending.hidden = !isCut;
    ending.replaceChildren();
    if (!isCut) return;
    const isContext = finish_reason === "length" && shown.fillsContext;
    ending.append(make("span", {}, text(isContext ? "ended_by_context" : CUT[finish_reason])));
    if (content) ending.append(textButton("continue", () => actions.continueAnswer(id)));
  }

  const textButton = (key, onclick) => make("button", { type: "button", class: "text-button", onclick }, text(key));

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
   */
  function allButtons(message, versions) {
    const { id, role, finish_reason = "", content, error } = message;
    const isAnswer = role === "assistant";
    const { answer } = withoutReasoning(content, isAnswer);
    if (message.call) return resultButtons(message, versions);
    const again = isAnswer && !message.calls && (finish_reason === "error" || !content) && !isTooLong(error);
    const { created } = message;
    return [
      ...versionButtons(message, versions),
      again && textButton("try_again", () => actions.regenerate(id)),
      content && iconButton(ICONS.copy, text("copy_message"), (event) => copy(event.currentTarget, answer || content)),
      iconButton(ICONS.pen, text(isAnswer ? "edit_answer" : "edit"), edit),
      isAnswer && !again && iconButton(ICONS.repeat, text("regenerate"), () => actions.regenerate(id)),
      isAnswer && content && looksButton(message),
      iconButton(ICONS.fork, text("fork"), () => actions.fork(id)),
      isAnswer && againMenu({ server, chat: actions, message, body }),
      isAnswer && figuresButton(message),
      Number.isFinite(created) && timeElement(created),
    ].filter((button) => button instanceof HTMLElement);
  }

  /**
   * @param {Message} message with the result of a call
   * @param {Message[]} versions
   */
  function resultButtons(message, versions) {
    const { id, conversation, content, created, finish_reason = "" } = message;
    const isUndone = !["stop", "failed", "refused"].includes(finish_reason);
    const goesOn = shown.isLast && isUndone && !actions.openCall();
    return [
      ...versionButtons(message, versions),
      isUndone && server.tools && textButton("call_again", () => rounds((all) => all.again(conversation, message))),
      goesOn && textButton("call_go_on", () => rounds((all) => all.goOn(conversation, message))),
      content && iconButton(ICONS.copy, text("copy_message"), (event) => copy(event.currentTarget, content)),
      iconButton(ICONS.fork, text("fork"), () => actions.fork(id)),
      Number.isFinite(created) && timeElement(created),
    ].filter((button) => button instanceof HTMLElement);
  }

  /**
   * The answer's tokens, or the answer again with them.
   *
   * @param {Message} message
   */
  function looksButton({ id, tokens }) {
    const looks = isLookedInto();
    const look = () => {
      if (!tokens?.length)
        return actions.regenerate(id, { settings: { ...actions.conversation.settings, probabilities: true } });
      looksByHand = !looks;
      draw();
    };
    return iconButton(ICONS.eye, text(tokens?.length ? "look_inside" : "look_inside_again"), look, {
      "aria-pressed": String(looks),
    });
  }

  const isLookedInto = () => Boolean(shown.message.tokens?.length) && (looksByHand ?? shown.looksInside);

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
      room: isQuestion ? room : undefined,
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

  return { element, update, reveal, showAll, edit: () => !shown.expected && edit() };
}

/** @param {Message} message */
function labelOf({ role, call }) {
  if (call) return text("call_written", { server: call.server, tool: call.tool });
  return text(role === "user" ? "you" : "answer");
}

/**
 * When a message was written. A message from elsewhere may not say so, and has none.
 *
 * @param {number} created
 */
function timeElement(created) {
  return make(
    "time",
    {
      datetime: new Date(created).toISOString(),
      title: timeOf(created, { dateStyle: "full", timeStyle: "medium" }),
    },
    timeOf(created, { timeStyle: "short" }),
  );
}
