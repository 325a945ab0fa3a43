// Requests to the page's own routes: see page/routes.py.

import { errorText, text } from "../common/dom.js";

/** @import { PageError } from "../types" */

const address = (path) => new URL(`page/${path}`, document.baseURI);

/** The server answered, and refused. */
export class Refused extends Error {
  /**
   * @param {number} status of HTTP
   * @param {PageError} error
   */
  constructor(status, error) {
    super(error.text ?? error.key);
    this.status = status;
    this.error = error;
  }
}

/** The server can't be reached. (Proxies say so with a status of their own.) */
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

/**
 * Why a request failed, as a sentence. Errors that are no failed request are thrown on.
 *
 * @param {unknown} error
 * @param {string} down the text for a server that can't be reached
 * @returns {string}
 */
export function whyFailed(error, down) {
  if (error instanceof Refused) return errorText(error.error);
  if (error instanceof Down) return text(down);
  throw error;
}

/**
 * @param {string} path below /page
 * @returns {Promise<any>} what the server answers
 * @throws {Refused}
 * @throws {Down}
 */
export const get = (path) => send(path, {});

/**
 * Sends a file.
 *
 * @param {string} path below /page
 * @param {Blob} body
 * @returns {Promise<any>} what the server answers
 * @throws {Refused}
 * @throws {Down}
 */
export const put = (path, body) =>
  send(path, { method: "PUT", headers: { "Content-Type": "application/octet-stream" }, body });

/**
 * @param {string} path below /page
 * @param {unknown} data
 * @param {AbortSignal} [signal]
 * @returns {Promise<any>} what the server answers
 * @throws {Refused}
 * @throws {Down}
 */
export const post = (path, data, signal) =>
  send(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(data), signal });
