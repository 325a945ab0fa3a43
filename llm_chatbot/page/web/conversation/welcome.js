// What is there before the first message: what this is, where what is written goes, and questions to begin with.

import { currentLanguage, make, text } from "../common/dom.js";

/** @import { LoadedModel } from "../types" */
/** @import { Chat } from "./chat.js" */

const LOOPBACK = ["127.0.0.1", "localhost", "[::1]"];

/**
 * @param {object} options
 * @param {() => Partial<LoadedModel> & { title: string }} options.model
 * @param {() => string[]} options.examples
 * @param {Chat} options.chat
 * @param {(question: string) => void} options.begin called with an example that was chosen
 */
export function welcomeView({ model, examples, begin, chat }) {
  const element = make("div", { class: "welcome" });
  const cards = make("div", { class: "examples", role: "group" });
  const toggle = make("button", {
    type: "button",
    class: "text-button",
    onclick: () => chat.makeTemporary(!chat.conversation.temporary),
  });

  // The page tells where what is written goes, and says nothing that it can't know.
  function place() {
    if (model().remote) return text("welcome_remote", { host: model().key?.[2] ?? "" });
    return LOOPBACK.includes(location.hostname) ? text("welcome_here") : text("welcome_there", { host: location.host });
  }

  /** @param {boolean} isEmpty nothing was said yet */
  function draw(isEmpty) {
    element.hidden = cards.hidden = !isEmpty;
    if (!isEmpty) return;
    const { title, description = {} } = model();
    const spoken = currentLanguage() in description ? currentLanguage() : "en";
    const isTemporary = Boolean(chat.conversation.temporary);
    toggle.setAttribute("aria-pressed", String(isTemporary));
    toggle.textContent = text("temporary");
    const signature = JSON.stringify([currentLanguage(), examples(), title]);
    if (element.dataset.signature === signature) return;
    element.dataset.signature = signature;
    element.replaceChildren(
      make("h2", {}, text("welcome")),
      make("p", {}, place()),
      make(
        "p",
        { class: "about" },
        make("strong", {}, title),
        description[spoken] && make("span", { lang: spoken }, description[spoken]),
      ),
      toggle,
    );
    cards.setAttribute("aria-label", text("examples"));
    cards.replaceChildren(
      ...examples().map((question) =>
        make("button", { type: "button", class: "example", onclick: () => begin(question) }, question),
      ),
    );
  }

  return { element, cards, draw };
}
