// The text of an HTML document, with its headings and lists as in Markdown.

const LEFT_OUT = "script, style, noscript, template, svg, iframe, object, head, nav, [hidden], [aria-hidden=true]";
const BLOCKS = new Set(
  (
    "address article aside blockquote dd details div dl dt figcaption figure footer form h1 h2 h3 h4 h5 h6 header hr " +
    "li main ol p pre section summary table ul"
  ).split(" "),
);

/**
 * The text of a document. One that a parser made loads nothing and runs nothing.
 *
 * @param {string} html
 * @returns {string}
 */
export function textOfHTML(html) {
  const { body } = new DOMParser().parseFromString(html, "text/html");
  body.querySelectorAll(LEFT_OUT).forEach((node) => node.remove());
  const text = inside(body, false);
  return text
    .replace(/[ \t]+\n/g, "\n")
    .replace(/\n{3,}/g, "\n\n")
    .trim();
}

const inside = (node, isPre) => [...node.childNodes].map((child) => textOf(child, isPre)).join("");

function textOf(node, isPre) {
  if (node.nodeType === Node.TEXT_NODE) return isPre ? node.data : node.data.replace(/\s+/g, " ");
  if (node.nodeType !== Node.ELEMENT_NODE) return "";
  const name = node.localName;
  if (name === "br") return "\n";
  if (name === "tr")
    return `${[...node.cells].map((cell) => inside(cell, false).trim().replace(/\s+/g, " ")).join("\t")}\n`;
  const text = inside(node, isPre || name === "pre");
  if (/^h[1-6]$/.test(name)) return text.trim() && `\n\n${"#".repeat(name[1])} ${text.trim()}\n\n`;
  if (name === "li") return `\n- ${text.trim()}\n`;
  if (name === "ul" || name === "ol") return `\n${text.trim().replace(/\n{2,}/g, "\n")}\n\n`;
  return BLOCKS.has(name) ? `\n\n${isPre || name === "pre" ? text : text.trim()}\n\n` : text;
}
