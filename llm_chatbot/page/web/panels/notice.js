// One quiet line above the box: the server is down, something was deleted, the storage is full.

import { onNextAction } from "../common/actions.js";
import { make, text } from "../common/dom.js";

/** @import { TextValues } from "../types" */

const SHOWN = 10_000; // milliseconds

export function noticeView() {
  const line = make("span");
  const element = make("div", { id: "notice", role: "status" }, line);
  let isDown = false;
  let timer;

  /**
   * @param {string} key
   * @param {TextValues} [values]
   * @param {[key: string, act: () => void] | null} [action]
   */
  function show(key, values, action) {
    line.textContent = text(key, values);
    element.replaceChildren(line);
    if (!action) return;
    const [name, act] = action;
    const onclick = () => {
      clear();
      act();
    };
    element.append(make("button", { type: "button", class: "text-button", onclick }, text(name)));
  }

  function clear() {
    clearTimeout(timer);
    line.textContent = "";
    element.replaceChildren(line);
  }

  /**
   * Says something for a while; without an action of its own, until the user next acts.
   *
   * @param {string} key
   * @param {TextValues} [values]
   * @param {[key: string, act: () => void] | null} [action] the text of a button, and what it does
   */
  function say(key, values = {}, action = null) {
    clear();
    show(key, values, action);
    const end = () => (isDown ? show("server_down") : clear());
    timer = setTimeout(end, SHOWN);
    const said = timer;
    if (!action) onNextAction(() => timer === said && end());
  }

  /**
   * To be called after each request.
   *
   * @param {boolean} up the server was reached
   * @param {any} [error]
   */
  function reached(up, error) {
    if (up === !isDown) return;
    isDown = !up;
    element.classList.toggle("down", isDown);
    clear();
    if (isDown) show(error?.status === 401 ? "log_in" : "server_down");
  }

  return { element, say, reached, clear };
}
