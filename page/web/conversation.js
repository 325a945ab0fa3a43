// The conversation in the middle of the page, and what is there before its first message.

import { currentLanguage, make, text } from "./dom.js";
import { messageView } from "./message.js";

// chat: see chat.js. live: the answers that are expected. examples(): questions to begin with.
export function conversationView({ chat, live, examples }) {
  const list = make("div", { class: "messages" });
  const welcome = make("div", { class: "welcome" });
  const element = make("section", { id: "conversation", role: "log", "aria-live": "polite", tabindex: 0 }, welcome, list);
  const views = new Map();
  let follows = true; // the end is in sight, and stays so

  element.addEventListener("scroll", () => {
    follows = element.scrollHeight - element.scrollTop - element.clientHeight < 40;
  });
  // Where the window or a panel changes the height, the end stays in sight too.
  new ResizeObserver(() => follows && toEnd()).observe(element);

  const toEnd = () => (element.scrollTop = element.scrollHeight);

  function draw() {
    const path = chat.path();
    const last = path.at(-1)?.id;
    element.setAttribute("aria-label", text("conversation"));
    const elements = path.map((message) => {
      const view = views.get(message.id) ?? messageView(chat);
      views.set(message.id, view);
      const entry = live.get(message.id);
      const owed = message.role === "assistant" && !message.finish_reason;
      const current = entry ? { ...message, content: entry.content, tokens: entry.tokens, ...entry.ended } : message;
      const state = entry?.ended || !owed ? undefined : (entry?.state ?? {});
      view.update(current, {
        state,
        versions: chat.versions(message.id),
        isLast: message.id === last,
        looksInside: Boolean(chat.conversation.settings.probabilities),
        language: currentLanguage(),
      });
      return view.element;
    });
    keepOnly(new Set(path.map(({ id }) => id)));
    elements.forEach((it, index) => list.children[index] !== it && list.insertBefore(it, list.children[index] ?? null));
    drawWelcome(path.length === 0);
    if (follows) toEnd();
  }

  function keepOnly(ids) {
    for (const [id, view] of views) {
      if (ids.has(id)) continue;
      view.element.remove();
      views.delete(id);
    }
  }

  function drawWelcome(isEmpty) {
    welcome.hidden = !isEmpty;
    if (!isEmpty) return;
    const signature = JSON.stringify([currentLanguage(), examples()]);
    if (welcome.dataset.signature === signature) return;
    welcome.dataset.signature = signature;
    const card = (question) => make("button", { type: "button", class: "example", onclick: () => chat.send(question) }, question);
    welcome.replaceChildren(make("h2", {}, text("welcome")), make("div", { class: "examples" }, examples().map(card)));
  }

  function showEnd() {
    follows = true;
    toEnd();
  }

  // A message that was searched for.
  function show(id) {
    follows = false;
    const { element: shown } = views.get(id) ?? {};
    shown?.scrollIntoView({ block: "center" });
    shown?.classList.add("sought");
  }

  const editLast = () => {
    const question = chat.path().findLast((message) => message.role === "user");
    views.get(question?.id)?.edit();
  };

  return { element, draw, show, showEnd, editLast };
}
