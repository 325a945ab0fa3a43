// Requests to the page's own routes: see page/routes.py.

import { errorText, text } from "../common/dom.js";

const address = (path) => new URL(`page/${path}`, document.baseURI);

// The server answered, and refused: `error` is {key, values} of the texts, or {text}.
export class Refused extends Error {
  constructor(status, error) {
    super(error.text ?? error.key);
    Object.assign(this, { status, error });
  }
}

// The server can't be reached. (Proxies say so with a status of their own.)
export class Down extends Error {}

async function send(path, options) {
  const response = await fetch(address(path), options).catch(() => {
    throw new Down();
  });
  if ([502, 504].includes(response.status)) throw new Down();
  if (response.status === 413) throw new Refused(413, { key: "too_large" });
  const data = await response.json().catch(() => null);
  if (data === null) throw new Down();
  if (!response.ok) throw new Refused(response.status, data.error ?? { text: response.statusText });
  return data;
}

// Why a request failed, as a sentence; `down` is the text for a server that can't be reached. Other errors are thrown
// on.
export function whyFailed(error, down) {
  if (error instanceof Refused) return errorText(error.error);
  if (error instanceof Down) return text(down);
  throw error;
}

export const get = (path) => send(path, {});

export const post = (path, data, signal) =>
  send(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(data), signal });
