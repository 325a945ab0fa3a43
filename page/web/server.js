// Requests to the page's own routes: see page/routes.py.

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
  let response;
  try {
    response = await fetch(address(path), options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Down();
  }
  if ([502, 504].includes(response.status)) throw new Down();
  if (response.status === 413) throw new Refused(413, { key: "too_large" });
  const data = await response.json().catch(() => null);
  if (data === null) throw new Down();
  if (!response.ok) throw new Refused(response.status, data.error ?? { text: response.statusText });
  return data;
}

export const get = (path) => send(path, {});

export const post = (path, data, signal) =>
  send(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(data), signal });
