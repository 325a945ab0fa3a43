// Starts the page in an element.

import { openChat } from "./chat.js";
import { composerView } from "./composer.js";
import { conversationView } from "./conversation.js";
import { currentLanguage, make, number, setTexts, text } from "./dom.js";
import { startFollowing } from "./following.js";
import { libraryView } from "./library.js";
import { migrate } from "./migrate.js";
import { noticeView } from "./notice.js";
import { addPanels } from "./panels.js";
import { get } from "./server.js";
import { addShortcuts } from "./shortcuts.js";
import { settingsView } from "./settings.js";
import { openStore } from "./store.js";

export async function start(root) {
  const page = root.querySelector("#chat-page");
  const [texts, server, store] = await Promise.all([get("texts"), get("state"), openStore()]);
  setTexts(texts);
  await migrate(store);
  const models = new Map([[String(server.model.key), server.model]]);
  const notice = noticeView();
  let drawn = false; // whether a drawing has been asked for

  // At most once per frame: several things may change at a time.
  function draw() {
    if (drawn) return;
    drawn = true;
    requestAnimationFrame(() => {
      drawn = false;
      [header, conversation, composer, settings].forEach((view) => view.draw());
    });
  }

  const chat = await openChat({ store, changed: (what) => changed(what) });
  const following = startFollowing({ store, changed: draw, reached: notice.reached });
  const header = headerView({ chat, server, models, live: following.live });
  const conversation = conversationView({ chat, live: following.live, examples });
  const composer = composerView({ chat, sent: () => conversation.showEnd() });
  const settings = settingsView({ server, chat, models, spoken: redraw, showShortcuts: () => shortcuts.show() });
  const library = libraryView({
    store,
    chat,
    isAnswering: (id) => [...following.live.values()].some((entry) => entry.message.conversation === id && !entry.ended),
    opened: () => (panels.closeOnPhone(), composer.focus()),
    removed: (undo) => notice.say("deleted", {}, ["undo", undo]),
  });
  const begin = () => chat.open(null).then(() => composer.focus());
  const panels = addPanels({ header, library, settings, begin });
  const shortcuts = addShortcuts({
    begin,
    find: () => (panels.toggle("left", true), library.find()),
    list: () => panels.toggle("left"),
    settings: () => panels.toggle("right"),
    box: () => composer.focus(),
    stop: () => chat.running() && composer.stop(),
    editLast: () => conversation.editLast(),
  });

  function changed(what) {
    draw();
    library.draw();
    if (what === "opened") conversation.showEnd();
    if (what === "added") navigator.storage?.persist?.();
  }

  function redraw() {
    [panels, library].forEach((view) => view.draw());
    draw();
  }

  // In the language of the page where the model speaks it, which all speak English.
  function examples() {
    const { language } = models.get(String(chat.conversation.model ?? server.model.key)) ?? server.model;
    const spoken = [language, "en"].includes(currentLanguage()) ? currentLanguage() : language;
    return server.examples[spoken];
  }

  store.subscribe(({ error }) => {
    if (error) notice.say(error);
    library.draw();
  });
  await chat.start(following);
  page.replaceChildren(panels.left, make("main", {}, panels.head, conversation.element, notice.element, composer.element), panels.right, shortcuts.element);
  redraw();
  composer.focus();
  conversation.showEnd();
}

// The model, and how much of its context the conversation used for its latest answer.
function headerView({ chat, server, models, live }) {
  const title = make("h1");
  const bar = make("span");
  const label = make("span", { class: "context-label" });
  const meter = make("div", { class: "context-bar", role: "meter", "aria-valuemin": 0 }, bar);
  const context = make("div", { class: "context" }, meter, label);
  const element = make("div", { id: "header" }, title, context);

  function draw() {
    const key = chat.conversation.model ?? server.model.key;
    const model = models.get(String(key)) ?? { title: key.filter(Boolean).join(" · ") };
    title.textContent = model.title;
    const latest = chat.path().map(({ id, figures }) => live.get(id)?.state.figures ?? figures).findLast((figures) => figures?.prompt_tokens);
    const used = latest ? latest.prompt_tokens + latest.completion_tokens : 0;
    const length = model.context_length ?? latest?.context_length;
    context.hidden = !length;
    if (!length) return;
    const values = { used: number(used), length: number(length) };
    bar.style.width = `${Math.min(100, (100 * used) / length)}%`;
    label.textContent = `${values.used} / ${values.length}`;
    context.title = text("context", values);
    for (const [name, value] of [["label", text("context", values)], ["valuemax", length], ["valuenow", used]])
      meter.setAttribute(`aria-${name}`, value);
  }

  return { element, draw };
}
