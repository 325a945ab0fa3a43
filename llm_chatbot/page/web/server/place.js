// Where the conversations are: a browser keeps them by the page's address, of which this machine has several.

import { PRESETS } from "../store/presets.js";

/** @import { Store } from "../store/store.js" */

const NUMBER = "127.0.0.1";

/**
 * Leads from another name of this machine to http://127.0.0.1, where the page's own address is and so the conversations
 * are. Nothing is done where something is kept under this name, or where the other can't be reached.
 *
 * @param {Store} store
 * @param {string} arrived the server's address that the browser's requests arrive at
 * @returns {Promise<boolean>} whether the page is left
 */
export async function leaveLocalhost(store, arrived) {
  const isOther = location.pathname !== "/" || arrived !== NUMBER;
  if (isOther || (await isUsed(store))) return false;
  const address = new URL(location.href);
  address.hostname = NUMBER;
  const isThere = await fetch(new URL("page/web/main.js", address), { mode: "no-cors" }).then(
    () => true,
    () => false,
  );
  if (isThere) location.replace(address);
  return isThere;
}

async function isUsed(store) {
  const [{ conversations }, presets = []] = await Promise.all([store.exportAll(), store.value(PRESETS)]);
  const drafts = Object.keys(localStorage).filter((key) => key.startsWith("llm-chatbot.draft."));
  return conversations.length + presets.length + drafts.length > 0;
}
