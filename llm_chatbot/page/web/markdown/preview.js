// What HTML, SVG and Mermaid draw, in a frame that reaches neither the network nor the page: it has an origin of its own
// (`sandbox` without `allow-same-origin`), and its policy allows nothing but what stands in it.

import { make } from "../common/dom.js";

const POLICY = [
  "default-src 'none'",
  "script-src 'unsafe-inline'",
  "style-src 'unsafe-inline'",
  "img-src data: blob:",
  "font-src data:",
  "media-src data: blob:",
  "form-action 'none'",
  "base-uri 'none'",
].join("; ");

const HEAD =
  `<!doctype html><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="${POLICY}">` +
  '<meta http-equiv="x-dns-prefetch-control" content="off"><style>body{font-family:system-ui,sans-serif}</style>';

/** @type {Record<string, (code: string) => string | Promise<string>>} */
const DOCUMENTS = {
  html: (code) => HEAD + code,
  svg: (code) => HEAD + code,
  mermaid: async (code) =>
    `${HEAD}<pre class="mermaid"></pre><script>${await mermaid()}</script><script>
      document.querySelector("pre").textContent = ${asScript(code)};
      mermaid.initialize({ startOnLoad: false, securityLevel: "strict" });
      mermaid.run().catch((error) => (document.body.textContent = String(error.message ?? error)));
    </script>`,
};

// As a string in a script, which `</script>` in it does not end.
const asScript = (text) => JSON.stringify(text).replaceAll("<", "\\u003c");

let library;
const mermaid = async () =>
  (library ??= fetch(new URL("../../vendor/mermaid.js", import.meta.url)).then(async (response) =>
    (await response.text()).replaceAll("</script", "<\\/script"),
  ));

/** @param {string} language as the fence names it */
export const canPreview = (language) => Object.hasOwn(DOCUMENTS, language.toLowerCase());

/**
 * @param {string} code
 * @param {string} language that `canPreview`
 * @param {string} title
 * @returns {Promise<HTMLIFrameElement>}
 */
export async function previewOf(code, language, title) {
  const document = await DOCUMENTS[language.toLowerCase()](code);
  return make("iframe", { class: "preview", title, sandbox: "allow-scripts", srcdoc: document });
}
