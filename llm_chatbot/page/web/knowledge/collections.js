// The collections on the server, and those that the conversation uses.

import { post, put } from "../server/requests.js";

/** @import { Chat } from "../conversation/chat.js" */
/** @import { Collection, KnowledgeState } from "../types" */

/**
 * @typedef {ReturnType<typeof knownCollections>} Collections
 *
 * @param {object} options
 * @param {Chat} options.chat
 */
export function knownCollections({ chat }) {
  /** @type {KnowledgeState} */
  let state = { collections: [], folders: false };

  /**
   * @param {string} path below /page/knowledge
   * @param {Record<string, unknown>} [data]
   */
  async function ask(path, data = {}) {
    state = await post(`knowledge${path}`, data);
    return state;
  }

  const chosen = () =>
    String(chat.conversation.settings.collections ?? "")
      .split(" ")
      .filter(Boolean);

  /** @param {string[]} ids */
  function choose(ids) {
    const { collections, ...rest } = chat.conversation.settings;
    return chat.change({ settings: ids.length ? { ...rest, collections: ids.join(" ") } : rest });
  }

  /**
   * @param {string} id
   * @param {boolean} isUsed by the conversation
   */
  const use = (id, isUsed) => choose([...chosen().filter((other) => other !== id), ...(isUsed ? [id] : [])]);

  /** @param {string} id */
  async function remove(id) {
    await ask("/delete", { id });
    if (chosen().includes(id)) await use(id, false);
  }

  /**
   * Sends a file to a collection.
   *
   * @param {string} id
   * @param {File} file
   */
  const upload = (id, file) => put(`knowledge/add_file?${new URLSearchParams({ id, name: file.name })}`, file);

  return {
    ask,
    chosen,
    use,
    remove,
    upload,
    /** @returns {Collection[]} */
    all: () => state.collections,
    takesFolders: () => state.folders,
  };
}
