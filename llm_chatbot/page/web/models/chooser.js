// The model of the conversation: choosing, loading and getting one, for the menu in the head and the settings.

import { text } from "../common/dom.js";
import { get, post, whyFailed } from "../server/requests.js";

/** @import { Chat } from "../conversation/chat.js" */
/** @import { LoadedModel, ModelChoice, ModelKey, ServerState } from "../types" */

/**
 * @typedef {ReturnType<typeof modelChooser>} ModelChooser
 * @typedef {object} Loading a model that is being loaded
 * @property {string} title
 * @property {number} since milliseconds since 1970
 * @property {number | null} expected seconds; null: not known
 *
 * @param {object} options
 * @param {ServerState} options.server
 * @param {Chat} options.chat
 * @param {Map<string, LoadedModel>} options.models those that were loaded, by their keys
 */
export function modelChooser({ server, chat, models }) {
  /** @type {ModelKey | null} */
  let wanted = null; // the model that was chosen last
  /** @type {Loading | null} */
  let loading = null;
  let said = "";
  /** @type {Set<() => void>} */
  const listeners = new Set();
  const changed = () => listeners.forEach((listener) => listener());
  setInterval(() => loading && changed(), 1000); // so that the seconds go on

  /** @returns {ModelKey} */
  const key = () => chat.conversation.model ?? server.model.key;

  /**
   * @param {ModelKey} key
   * @returns {ModelChoice | undefined} what is known of a model before it is loaded
   */
  const choiceOf = ([name, precision]) =>
    server.models.find((choice) => choice.name === name && choice.precision === precision);

  /** @returns {Partial<LoadedModel> & { title: string }} */
  const model = () => models.get(String(key())) ?? { title: key().filter(Boolean).join(" · ") };

  function say(sentence) {
    said = sentence;
    changed();
  }

  /**
   * The model is loaded first; until then, the one before answers.
   *
   * @param {ModelKey} chosen
   */
  async function use(chosen) {
    const { id } = chat.conversation;
    const title = chosen.join(" · ");
    wanted = chosen;
    loading = { title, since: Date.now(), expected: choiceOf(chosen)?.load_seconds ?? null };
    say(text("loading", { title }));
    try {
      const loaded = await post("load", { model: chosen });
      models.set(String(loaded.key), loaded);
      if (chosen !== wanted) return;
      loading = null;
      say(text("loaded", { title: loaded.title }));
      if (id === chat.conversation.id) await chat.change({ model: loaded.key });
      refresh();
    } catch (error) {
      if (chosen === wanted) loading = null;
      say(whyFailed(error, "server_down"));
    }
  }

  /** What is known of the models may have changed: which are loaded, and how fast they are. */
  async function refresh() {
    try {
      server.models = (await get("state.json")).models;
      changed();
    } catch (error) {
      whyFailed(error, "server_down"); // the next request says it, and what was known stays
    }
  }

  // A model that was converted a moment ago, and is not in the list yet.
  async function useNew({ name, precision }) {
    server.models = (await get("state.json")).models;
    changed();
    await use([name, precision, key()[2]]);
  }

  async function compare() {
    const { openCompare } = await import("./compare.js");
    const [, , device] = key();
    const path = chat.path();
    openCompare({
      choices: server.models.map(({ title, name, precision }) => ({ title, key: [name, precision, device] })),
      chosen: key(),
      read: chat.read(),
      settings: chat.conversation.settings,
      keep: async ({ question, key: kept, answer }) => {
        await chat.keep(path.at(-1)?.id ?? null, question, answer);
        await use(kept);
      },
    });
  }

  return {
    key,
    model,
    choiceOf,
    use,
    refresh,
    get: async () => (await import("./get_model.js")).openGetModel({ use: useNew }),
    compare,
    get loading() {
      return loading;
    },
    get said() {
      return said;
    },
    quiet: () => {
      said = "";
    },
    subscribe: (listener) => listeners.add(listener),
  };
}
