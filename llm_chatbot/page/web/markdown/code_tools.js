// What can be done with a block of code, beside copying it: wrapping, numbering its lines, downloading, and looking at
// what it draws.

import { below, iconButton, make } from "../common/dom.js";
import { ICONS } from "../common/icons.js";
import { canPreview, previewOf } from "./preview.js";

/** @import { Labels } from "./markdown.js" */

const KEPT = "llm-chatbot.code"; // in localStorage: how new blocks are shown

const EXTENSIONS = {
  bash: "sh",
  shell: "sh",
  c: "c",
  "c++": "cpp",
  cpp: "cpp",
  csharp: "cs",
  css: "css",
  go: "go",
  html: "html",
  java: "java",
  javascript: "js",
  js: "js",
  json: "json",
  kotlin: "kt",
  markdown: "md",
  md: "md",
  mermaid: "mmd",
  php: "php",
  py: "py",
  python: "py",
  ruby: "rb",
  rust: "rs",
  sh: "sh",
  sql: "sql",
  svg: "svg",
  swift: "swift",
  toml: "toml",
  ts: "ts",
  typescript: "ts",
  xml: "xml",
  yaml: "yaml",
};

/** @returns {Record<"wraps" | "numbers", boolean>} */
const kept = () => ({ wraps: false, numbers: false, ...JSON.parse(localStorage.getItem(KEPT) ?? "{}") });

/**
 * The buttons, and the block as it was shown last.
 *
 * @param {HTMLElement} node of `codeBlock`
 * @param {string} language
 * @param {Labels} labels
 * @returns {HTMLElement[]}
 */
export function codeTools(node, language, labels) {
  const text = () => below(node, "code").textContent ?? "";
  const toggle = (name, icon, label) => {
    const button = iconButton(icon, label, () => {
      const isOn = !node.classList.contains(name);
      localStorage.setItem(KEPT, JSON.stringify({ ...kept(), [name]: isOn }));
      show(isOn);
    });
    const show = (isOn) => {
      node.classList.toggle(name, isOn);
      button.setAttribute("aria-pressed", String(isOn));
      if (name === "numbers") numberLines(node);
    };
    show(kept()[name]);
    return button;
  };
  const buttons = [
    toggle("wraps", ICONS.wrap, labels.wrap),
    toggle("numbers", ICONS.numbers, labels.numbers),
    iconButton(ICONS.down, labels.download, () => download(text(), language)),
  ];
  if (canPreview(language)) buttons.unshift(previewButton(node, language, text, labels));
  return buttons;
}

function previewButton(node, language, text, labels) {
  const button = make(
    "button",
    {
      type: "button",
      class: "copy",
      "aria-pressed": "false",
      onclick: async () => {
        const shown = node.querySelector(".preview");
        shown?.remove();
        button.setAttribute("aria-pressed", String(!shown));
        if (!shown) node.append(await previewOf(text(), language, labels.preview));
      },
    },
    labels.preview,
  );
  return button;
}

/**
 * The numbers beside the lines, for the eye only: they are neither read out nor copied.
 *
 * @param {HTMLElement} node of `codeBlock`
 */
export function numberLines(node) {
  node.querySelector(".line-numbers")?.remove();
  if (!node.classList.contains("numbers")) return;
  const lines = (node.querySelector("code")?.textContent ?? "").replace(/\n$/, "").split("\n").length;
  const numbers = Array.from({ length: lines }, (_, index) => index + 1).join("\n");
  node.querySelector("pre")?.prepend(make("span", { class: "line-numbers", "aria-hidden": "true" }, numbers));
}

function download(text, language) {
  const name = `code.${EXTENSIONS[language.toLowerCase()] ?? "txt"}`;
  const link = make("a", { href: URL.createObjectURL(new Blob([text], { type: "text/plain" })), download: name });
  link.click();
  URL.revokeObjectURL(link.href);
}
