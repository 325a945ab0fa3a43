// The login, where the server asks for one.

import { make, text } from "../common/dom.js";

/**
 * Shows the login instead of the page. Gradio's server sets the cookie.
 *
 * @param {HTMLElement} page
 */
export function showLogin(page) {
  const status = make("p", { role: "alert", class: "hint error" });
  const field = (name, type, autocomplete) =>
    make(
      "label",
      {},
      text(`login_${name}`),
      make("input", { name, type, autocomplete, required: true, autocapitalize: "none", spellcheck: "false" }),
    );

  /** @param {SubmitEvent} event */
  async function logIn(event) {
    event.preventDefault();
    const body = new URLSearchParams(/** @type {any} */ (new FormData(form)));
    const response = await fetch(new URL("login", document.baseURI), { method: "POST", body }).catch(() => null);
    if (response?.ok) location.reload();
    else status.textContent = text(response?.status === 400 ? "login_wrong" : "login_down");
  }

  const form = make(
    "form",
    { class: "login", onsubmit: logIn },
    make("h1", {}, text("login")),
    field("username", "text", "username"),
    field("password", "password", "current-password"),
    status,
    make("button", { type: "submit", class: "primary" }, text("login")),
  );
  page.replaceChildren(make("main", {}, form));
  form.querySelector("input")?.focus();
}
