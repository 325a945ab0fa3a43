// The way out of a page with a login. Gradio's own address for it, of this browser only.

import { make, text } from "../common/dom.js";

export const logOutLink = () =>
  make("a", { class: "log-out", href: new URL("logout?all_session=false", document.baseURI) }, text("log_out"));
