// The conversation in the middle of the page, and what is there before its first message.

import { currentLanguage, focused, iconButton, make, text } from "../common/dom.js";
import { ICONS } from "../common/icons.js";
import * as libraries from "../common/libraries.js";
import { unreadPictures } from "../server/question.js";
import { messageView } from "./message.js";
import { nearMessages } from "./near.js";
import { welcomeView } from "./welcome.js";

/** @import { Room } from "../composer/room.js" */
/** @import { LiveAnswer, LoadedModel, ServerState } from "../types" */
/** @import { AskView } from "../tools/ask.js" */
/** @import { WithRounds } from "../tools/rounds.js" */
/** @import { Chat } from "./chat.js" */

const NEAR = 40; // pixels from the end
const FORMULAS = 3000; // milliseconds in which formulas are set, also where their library has to be fetched first

/**
 * @param {object} options
 * @param {ServerState} options.server
 * @param {Chat} options.chat
 * @param {Map<string, LiveAnswer>} options.live the answers that are expected, by the ids of their messages
 * @param {() => Partial<LoadedModel> & { title: string }} options.model that answers
 * @param {{ element: HTMLElement, draw: () => void }} options.standing what holds for the whole conversation
 * @param {() => string[]} options.examples questions to begin with
 * @param {() => void} options.asked called after one of them was sent
 * @param {Room} options.room
 * @param {WithRounds} options.rounds does something with the rounds of calls
 */
export function conversationView({ server, chat, live, model, standing, examples, asked, room, rounds }) {
  const list = make("div", { class: "messages" });
  const welcome = welcomeView({ model, examples, begin, chat });
  const asking = make("div", { class: "asking-place", hidden: true });
  const temporary = make("p", { class: "temporary hint", role: "note" });
  const element = make(
    "section",
    { id: "conversation", role: "log", "aria-live": "polite", tabindex: 0 },
    welcome.element,
    temporary,
    standing.element,
    list,
    asking,
  );
  const views = new Map();
  const near = nearMessages(element, (id) => views.get(id));
  const jump = iconButton(ICONS.down, "", () => {
    showEnd();
    element.focus({ preventScroll: true });
  });
  const toEndButton = make("div", { class: "to-end" }, jump);
  let follows = true; // the end is in sight, and stays so
  let top = 0; // where the reader was
  /** @type {AskView | undefined} */
  let ask;
  let shownId = ""; // of the conversation that was drawn last
  /** @type {ReturnType<typeof import("./summary_view.js").summaryView> | undefined} */
  let summary;

  const toGo = () => element.scrollHeight - element.scrollTop - element.clientHeight;
  const toEnd = () => (element.scrollTop = element.scrollHeight);
  const offerJump = () => (jump.hidden = !welcome.element.hidden || toGo() < NEAR);
  const settle = () => {
    if (follows && welcome.element.hidden && !list.querySelector(".editing")) toEnd();
    offerJump();
  };

  element.addEventListener("scroll", () => {
    follows = toGo() < (element.scrollTop < top ? 1 : NEAR); // who scrolls up only a little wants to leave the end
    top = element.scrollTop;
    offerJump();
  });
  // What is opened at the end pushes down what is below it.
  list.addEventListener("click", ({ target }) => {
    if (target instanceof Element && target.closest("summary") && !chat.running()) follows = false;
  });
  // The end stays in sight too where the window or a panel changes the height, or a formula is set late.
  const sizes = new ResizeObserver(settle);
  [element, list].forEach((resized) => sizes.observe(resized));

  function draw() {
    const path = chat.path();
    const last = path.at(-1)?.id;
    const unread = unreadPictures(path);
    const isOpened = chat.conversation.id !== shownId;
    shownId = chat.conversation.id;
    element.setAttribute("aria-label", text("conversation"));
    jump.title = text("to_end");
    jump.setAttribute("aria-label", text("to_end"));
    const pressed = list.contains(document.activeElement) ? focused() : null;
    const place = [...list.children].findIndex((child) => child.contains(pressed));
    const elements = path.map((message, index) => {
      const isNear = near.isLate(index, path.length);
      const known = views.get(message.id);
      const view = known ?? messageView(chat, server, room, rounds);
      views.set(message.id, view);
      if (!known && !isNear) near.watch(view.element);
      if (!known && !isOpened) view.element.dataset.new = ""; // it appears; all of a long conversation would take long
      const owed = message.role !== "user" && !message.finish_reason;
      const entry = owed ? live.get(message.id) : undefined; // if another tab saw the end, what it stored is newer
      const current = entry ? { ...message, content: entry.content, tokens: entry.tokens, ...entry.ended } : message;
      const state = !owed || entry?.ended ? undefined : (entry?.state ?? {});
      view.update(current, {
        state,
        versions: chat.versions(message.id),
        isLast: message.id === last,
        looksInside: Boolean(chat.conversation.settings.probabilities),
        language: currentLanguage(),
        isNear,
        unread: unread.get(message),
      });
      return view.element;
    });
    keepOnly(new Set(path.map(({ id }) => id)));
    placeSummary(elements);
    elements.forEach(
      (child, index) => list.children[index] !== child && list.insertBefore(child, list.children[index] ?? null),
    );
    if (pressed && !pressed.isConnected) focusAgain(list.children[place], pressed.title);
    drawAsking();
    standing.draw();
    temporary.hidden = !chat.conversation.temporary;
    temporary.textContent = text("temporary_info");
    welcome.draw(path.length === 0);
    element.parentElement?.classList.toggle("empty", path.length === 0);
    settle();
  }

  // The question whether the call may be made that the conversation waits for.
  async function drawAsking() {
    if (!server.tools || !chat.openCall()) return closeAsking();
    const [{ askView }, { nextStep }] = await Promise.all([libraries.asking(), libraries.rounds()]);
    ask ??= askView(decide);
    const step = nextStep(chat.path()); // as it is by now
    if (!step?.call) return closeAsking();
    ask.draw({ ...step, call: step.call }, currentLanguage());
    if (!ask.element.isConnected) asking.append(ask.element);
    asking.hidden = false;
    settle();
  }

  /** @param {"once" | "always" | "refuse"} decision */
  function decide(decision) {
    const last = chat.path().at(-1);
    if (last) rounds((all) => all.decide(chat.conversation.id, last, decision));
  }

  function closeAsking() {
    if (asking.hidden) return;
    if (asking.contains(document.activeElement)) element.focus({ preventScroll: true });
    asking.replaceChildren();
    asking.hidden = true;
    ask?.forget();
  }

  // Below the last message that it stands for. Few conversations have one, and the first visit does without the view.
  function placeSummary(elements) {
    const known = chat.summary();
    if (!known) return summary?.element.remove();
    if (!summary) return loadSummary();
    summary.draw(known);
    elements.splice(known.count, 0, summary.element);
  }

  async function loadSummary() {
    const { summaryView } = await libraries.summary();
    summary ??= summaryView(chat);
    draw();
  }

  // The focus stays where it was in another version: on the button that was pressed; at the last version on its
  // neighbour.
  function focusAgain(message, title) {
    const button =
      message?.querySelector(`.actions [title="${title}"]:enabled`) ??
      message?.querySelector(":scope:not([aria-busy=true]) .icon:enabled");
    button?.focus({ preventScroll: true });
  }

  function keepOnly(ids) {
    for (const [id, view] of views) {
      if (ids.has(id)) continue;
      near.forget(view.element);
      view.element.remove();
      views.delete(id);
    }
  }

  function begin(question) {
    chat.send(question);
    showEnd();
    asked();
  }

  function showEnd() {
    follows = true;
    settle();
  }

  // A message that was searched for.
  function show(id) {
    follows = false;
    near.revealAround(
      chat.path().map((message) => message.id),
      id,
    );
    const view = views.get(id);
    view?.showAll(true);
    view?.element.scrollIntoView({ block: "center" });
    view?.element.classList.add("sought");
  }

  /**
   * The messages, all of them drawn.
   *
   * @returns {Promise<Element>}
   */
  async function whole() {
    near.reveal([...views.keys()]);
    const end = performance.now() + FORMULAS;
    while (list.querySelector(".math:not(.done)") && performance.now() < end)
      await new Promise((resolve) => setTimeout(resolve, 20));
    return list;
  }

  window.addEventListener("beforeprint", () => near.reveal([...views.keys()]));

  const editLast = () => {
    const question = chat.path().findLast((message) => message.role === "user");
    views.get(question?.id)?.edit();
  };

  return { element, examples: welcome.cards, toEndButton, draw, show, showEnd, whole, editLast };
}
