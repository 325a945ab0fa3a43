// Starts the page in its document, web/index.html.

import { below, currentLanguage, make, setTexts, text, wantedLanguage } from "./common/dom.js";
import * as libraries from "./common/libraries.js";
import { startTheme } from "./common/theme.js";
import { acceptDrops, composerView } from "./composer/composer.js";
import { roomView } from "./composer/room.js";
import * as address from "./conversation/address.js";
import { openChat } from "./conversation/chat.js";
import { conversationView } from "./conversation/conversation.js";
import { headerView } from "./conversation/header.js";
import { nameOf } from "./conversation/name.js";
import { standingView } from "./conversation/standing.js";
import { knowledgeChoice } from "./knowledge/choice.js";
import { knownCollections } from "./knowledge/collections.js";
import { modelChooser } from "./models/chooser.js";
import { modelMenu } from "./models/model_menu.js";
import { libraryView } from "./panels/library.js";
import { noticeView } from "./panels/notice.js";
import { paletteView } from "./panels/palette.js";
import { addPanels } from "./panels/panels.js";
import { settingsView } from "./panels/settings.js";
import { addShortcuts } from "./panels/shortcuts.js";
import { startFollowing } from "./server/following.js";
import { get, Refused } from "./server/requests.js";
import { PRESETS, withSettings } from "./store/presets.js";
import { openStore } from "./store/store.js";

/** @import { Store } from "./store/store.js" */
/** @import { Rounds, WithRounds } from "./tools/rounds.js" */
/** @import { ServerState } from "./types" */

const FIRST_VERSION = "llm-chatbot.conversation."; // in localStorage: see exchange/migrate.js
const OTHER_NAMES = ["localhost", "0.0.0.0"]; // of this machine; the latter stands for all its networks
const EXAMPLES = [1, 2, 5, 6]; // of the server's, those that show what a model can do

const speak = async () => setTexts(await get(`texts.json?language=${encodeURIComponent(wantedLanguage())}`));

/**
 * Takes over what the first version of the page kept, and leads to the address where the conversations are. Few
 * visits need either.
 *
 * @param {Store} store
 * @param {ServerState} server
 * @returns {Promise<boolean>} whether the page is left
 */
async function isElsewhere(store, { arrived }) {
  if (Object.keys(localStorage).some((key) => key.startsWith(FIRST_VERSION)))
    await (await import("./exchange/migrate.js")).migrate(store);
  return OTHER_NAMES.includes(location.hostname) && (await import("./server/place.js")).leaveLocalhost(store, arrived);
}

/** @param {unknown} error */
function unlessLoggedOut(error) {
  if (error instanceof Refused && error.status === 401) return null;
  throw error;
}

async function start() {
  startTheme();
  const page = below(document, "#chat-page");
  /** @type {[ServerState | null, Store, void]} */
  const [server, store] = await Promise.all([get("state.json").catch(unlessLoggedOut), openStore(), speak()]);
  if (!server) (await import("./server/login.js")).showLogin(page);
  else if (!(await isElsewhere(store, server))) await startPage(page, server, store);
}

/**
 * @param {HTMLElement} page
 * @param {ServerState} server
 * @param {Store} store
 */
async function startPage(page, server, store) {
  const models = new Map([[String(server.model.key), server.model]]);
  const notice = noticeView();
  /** @type {Set<{ draw: () => unknown }>} */
  const waiting = new Set(); // views that are to be drawn
  let isKept = false; // the browser was asked to keep what is stored

  const drawNow = () => [header, conversation, composer, settings].forEach((view) => view.draw());

  // At most once per frame: several things may change at a time. A hidden tab has no frames until it is shown.
  function drawLater(...views) {
    const isAsked = waiting.size > 0;
    views.forEach((view) => waiting.add(view));
    if (isAsked) return;
    requestAnimationFrame(() => {
      const all = [...waiting];
      waiting.clear();
      all.forEach((view) => view.draw());
    });
  }

  const draw = () => drawLater(header, conversation, composer, settings);

  const chat = await openChat({ store, changed: (...what) => changed(...what) });
  /** @type {Promise<Rounds> | undefined} */
  let loadedRounds;
  /** @type {WithRounds} */
  const rounds = (act) => {
    loadedRounds ??= libraries.rounds().then(({ toolRounds }) => toolRounds({ store, following }));
    return loadedRounds.then(act);
  };
  const following = startFollowing({
    store,
    changed: draw,
    reached: notice.reached,
    ended: (id, message) => {
      if (message.calls || message.call) rounds((all) => all.advance(id, message));
      considerWhenIdle(id);
    },
    shown: () => chat.conversation?.id,
  });
  const chooser = modelChooser({ server, chat, models });
  const header = headerView({ chat, chooser, menu: modelMenu({ server, chooser }), live: following.live });
  const room = roomView({ server, chat, chooser, context: header.context });
  const conversation = conversationView({
    server,
    chat,
    live: following.live,
    model: chooser.model,
    standing: standingView({ server, store, chat, change: () => showSettings(settings.focusInstructions) }),
    examples,
    asked: () => composer.ready(),
    room,
    rounds,
  });
  const collections = knownCollections({ chat });
  const manage = async () => (await import("./knowledge/knowledge.js")).openKnowledge(collections);
  const composer = composerView({
    store,
    chat,
    room,
    sent: () => conversation.showEnd(),
    say: notice.say,
    knowledge: server.knowledge ? knowledgeChoice({ collections, manage }) : null,
    tools: server.tools ? (await libraries.tools()).toolsChoice({ chat, rounds, model: chooser.model }) : null,
  });
  const settings = settingsView({
    server,
    store,
    chat,
    chooser,
    data: {
      exportAll: () => library.exportAll(),
      choose: () => library.choose(),
      deleteAll: () => library.deleteAll(),
      prompts,
    },
    spoken: () => speak().then(redraw),
    showShortcuts: () => shortcuts.show(),
  });
  const library = libraryView({
    server,
    store,
    chat,
    drawn: conversation.whole,
    opened: (message) => {
      panels.closeOnPhone();
      if (message) requestAnimationFrame(() => conversation.show(message));
      else composer.ready();
    },
    removed: (undo, shown, count) => {
      const bringBack = async () => {
        await undo();
        // Unless something else was begun meanwhile.
        if (shown && chat.conversation.isNew && composer.isEmpty()) await chat.open(shown, null, true);
        composer.ready();
      };
      notice.say(count > 1 ? "deleted_several" : "deleted", { count }, ["undo", bringBack]);
    },
  });
  const open = (id) => chat.open(id).then(() => composer.ready());
  const begin = () => open(null);
  const panels = addPanels({ header, library, settings, begin });
  const palette = paletteView(commands);
  const shortcuts = addShortcuts({
    begin,
    palette: palette.show,
    find: () => {
      panels.toggle("left", true);
      library.find();
    },
    list: () => panels.toggle("left"),
    settings: () => panels.toggle("right"),
    box: () => composer.focus(),
    stop: () => chat.running() && composer.stop(),
    editLast: () => conversation.editLast(),
  });

  // What the model does when nothing else waits.
  let idle; // what makes titles and summaries, from the first answer on
  async function considerWhenIdle(id) {
    const makers = Promise.all([libraries.titles(), libraries.summaries()]);
    const [titles, summaries] = await makers.catch(() => []); // the server is gone; the next answer tries again
    if (!titles || !summaries) return;
    idle ??= [titles.titlesFor({ server, store }), summaries.summariesFor({ server, store })];
    for (const { consider } of idle) consider(id);
  }

  // What Ctrl+K offers.
  async function commands() {
    const presets = (await store.value(PRESETS)) ?? [];
    const [, , device] = chooser.key();
    const acts = {
      new_conversation: begin,
      temporary: () => begin().then(() => chat.makeTemporary(true)),
      settings: () => showSettings(settings.focus),
      prompts,
      export_json: library.exportAll,
      import: library.choose,
      ...(server.get_models ? { get_model: chooser.get } : {}),
      ...(server.knowledge ? { knowledge: manage } : {}),
      ...(server.models.length > 1 ? { compare: chooser.compare } : {}),
      shortcuts: () => shortcuts.show(),
    };
    return [
      ...Object.entries(acts).map(([key, act]) => ({ kind: "palette_action", name: text(key), act })),
      ...(await library.heads()).map((conversation) => ({
        kind: "conversation",
        name: nameOf(conversation),
        act: () => library.open(conversation.id),
      })),
      ...presets.map((preset) => ({
        kind: "palette_preset",
        name: preset.name,
        act: () => chat.change({ settings: withSettings(preset, chat.conversation.settings) }),
      })),
      ...server.models.map(({ title, name, precision }) => ({
        kind: "model",
        name: title,
        act: () => chooser.use([name, precision, device]),
      })),
    ];
  }

  async function prompts() {
    (await import("./panels/prompts.js")).showPrompts(store);
  }

  function showSettings(focus) {
    panels.toggle("right", true);
    focus();
  }

  function changed(what, inPlace) {
    if (what === "opened")
      drawNow(); // what is typed next belongs to this conversation
    else draw();
    if (what === "opened") {
      drawLater(library); // reads all that is stored; the store says when else it has to
      address.name(chat.conversation.id, inPlace);
      conversation.showEnd();
      following.expectStored();
    }
    // Firefox asks the user, and would do so again after each message.
    if (what === "added" && !isKept) {
      isKept = true;
      navigator.storage?.persist?.();
    }
  }

  function redraw() {
    skip.textContent = text("skip");
    panels.draw();
    draw();
    drawLater(library);
  }

  // In the language of the page where the model speaks it, which all speak English.
  function examples() {
    const { language } = models.get(String(chat.conversation.model ?? server.model.key)) ?? server.model;
    const spoken = [language, "en"].includes(currentLanguage()) ? currentLanguage() : language;
    return EXAMPLES.map((index) => server.examples[spoken][index]);
  }

  store.subscribe(({ error, conversation: id, grows }) => {
    if (error) notice.say(error);
    if (id && !grows) drawLater(library);
  });
  await chat.start(following, address.asked());
  const skip = make("button", { type: "button", class: "skip", onclick: () => conversation.element.focus() });
  page.replaceChildren(
    skip,
    panels.left,
    make(
      "main",
      {},
      panels.head,
      conversation.element,
      conversation.toEndButton,
      notice.element,
      composer.element,
      conversation.examples,
    ),
    panels.right,
    shortcuts.element,
    palette.element,
  );
  acceptDrops(page, composer.drop);
  window.addEventListener("hashchange", () => open(address.asked())); // Back and Forward
  redraw();
  composer.ready();
  conversation.showEnd();
}

start();
