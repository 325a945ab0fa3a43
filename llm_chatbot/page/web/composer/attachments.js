// Reads files that are attached to a message, in the browser. Of all but pictures only the text is kept and sent. The page
// loads this when the first file is attached.

import { currentLanguage } from "../common/dom.js";
import * as libraries from "../common/libraries.js";
import { textOfHTML } from "./html_text.js";
import { estimateTokens } from "./message_text.js";

/** @import { DraftFile, TextValues } from "../types" */

export const MAX_BYTES = 20 * 1024 * 1024;
const MAX_CHARACTERS = 2_000_000; // far more than the longest context holds

const CODE = new Set(
  (
    "py js mjs ts tsx jsx c h cc cpp hpp cs java kt go rs rb php swift scala sh bash ps1 bat sql r jl lua pl css " +
    "scss xml yaml yml toml ini cfg json jsonl ipynb vue svelte dart ex hs clj asm tex cmake make dockerfile diff patch"
  ).split(" "),
);

// Encodings that old files in a language may have, after UTF-8.
const ENCODINGS = { ja: ["shift_jis", "euc-jp"], zh: ["gb18030", "big5"] };

/** A file that can't be attached. `key` and `values` are those of the sentence to show. */
export class UnreadableFile extends Error {
  /**
   * @param {string} key
   * @param {string} name of the file
   * @param {TextValues} [values]
   */
  constructor(key, name, values = {}) {
    super(key);
    this.key = key;
    this.values = { name, ...values };
  }
}

/**
 * Reads files one after the other.
 *
 * @param {File[]} files
 * @param {(key: string, values: TextValues) => void} refuse says why one can't be read
 * @param {(file: DraftFile) => unknown} add
 */
export async function readAll(files, refuse, add) {
  for (const file of files) {
    try {
      add(await attachmentOf(file));
    } catch (error) {
      if (!(error instanceof UnreadableFile)) throw error;
      refuse(error.key, error.values);
    }
  }
}

/** @param {File} file */
async function attachmentOf(file) {
  // The others are drawn, such as those of SVG: their text is read.
  if (/^image\/(?!svg)/.test(file.type)) return (await import("./pictures.js")).readPicture(file);
  const { name, text } = await readFile(file, currentLanguage());
  return { name, text, tokens: estimateTokens(text) };
}

/**
 * The text of a file. In the text of a PDF, a form feed ends each page but the last.
 *
 * @param {File} file
 * @param {string} [language] of the page, which tells the encodings that old files may have
 * @returns {Promise<{ name: string; kind: string; text: string; characters: number }>} kind: "text", "code", "html",
 *   "pdf" or "docx"
 * @throws {UnreadableFile}
 */
export async function readFile(file, language = "en") {
  const { name } = file;
  const extension = name.toLowerCase().split(".").at(-1) ?? "";
  if (file.size > MAX_BYTES) throw new UnreadableFile("file_too_large", name, { limit: MAX_BYTES / 1024 / 1024 });
  const [kind, read] = READERS[extension] ?? [
    CODE.has(extension) ? "code" : "text",
    async (textFile) => decoded(textFile, language),
  ];
  const raw = await read(file, language);
  const text = raw.replace(/\r\n?/g, "\n").replaceAll("\0", "").trimEnd();
  if (!text.trim()) throw new UnreadableFile(kind === "pdf" ? "file_no_text" : "file_empty", name);
  if (text.length > MAX_CHARACTERS) throw new UnreadableFile("file_too_long", name, { limit: MAX_CHARACTERS });
  return { name, kind, text, characters: text.length };
}

const READERS = {
  html: ["html", async (file, language) => textOfHTML(await decoded(file, language))],
  htm: ["html", async (file, language) => textOfHTML(await decoded(file, language))],
  pdf: ["pdf", textOfPDF],
  docx: ["docx", textOfDOCX],
};

async function decoded(file, language) {
  const bytes = new Uint8Array(await file.arrayBuffer());
  const marks = { "255,254": "utf-16le", "254,255": "utf-16be" };
  const marked = marks[bytes.slice(0, 2).join()];
  const isText = marked || !bytes.subarray(0, 4096).includes(0); // no text in another encoding holds a zero
  const encodings = marked ? [marked] : ["utf-8", ...(ENCODINGS[language] ?? []), "windows-1252"];
  for (const encoding of isText ? encodings : []) {
    const text = decodedAs(encoding, bytes);
    // Every sequence of bytes is windows-1252: with control characters, it is no text.
    if (text !== null && !/[\x01-\x08\x0e-\x1a\x1c-\x1f\x7f]/.test(text.slice(0, 4096))) return text;
  }
  throw new UnreadableFile("file_not_text", file.name);
}

function decodedAs(encoding, bytes) {
  try {
    return new TextDecoder(encoding, { fatal: true }).decode(bytes);
  } catch {
    return null; // other bytes than the encoding has
  }
}

async function textOfPDF(file) {
  const pdf = await libraries.pdf();
  const data = new Uint8Array(await file.arrayBuffer());
  const loading = pdf.getDocument({ data, cMapUrl: libraries.PDF_ENCODINGS, cMapPacked: true, verbosity: 0 });
  try {
    const document = await loading.promise;
    const pages = [];
    let characters = 0;
    for (let number = 1; number <= document.numPages && characters <= MAX_CHARACTERS; number++) {
      const page = await document.getPage(number);
      pages.push(textOfPage(await page.getTextContent()));
      characters += pages.at(-1).length;
      page.cleanup();
    }
    return pages.some((page) => page.trim()) ? pages.join("\f") : "";
  } catch (error) {
    const key = error instanceof pdf.PasswordException ? "file_encrypted" : "file_damaged";
    if (key === "file_damaged" && !(error instanceof pdf.InvalidPDFException)) throw error;
    throw new UnreadableFile(key, file.name);
  } finally {
    await loading.destroy();
  }
}

// A word that was divided at the end of a line is joined.
function textOfPage({ items }) {
  const text = items.map(({ str = "", hasEOL }) => str + (hasEOL ? "\n" : "")).join("");
  return text
    .replaceAll("\f", "")
    .replace(/(\p{Ll})-\n(\p{Ll})/gu, "$1$2")
    .trim();
}

async function textOfDOCX(file) {
  const mammoth = await libraries.mammoth();
  const bytes = new Uint8Array(await file.arrayBuffer());
  // Also what Word calls a DOCX with a password is not an archive.
  if (bytes[0] !== 0x50 || bytes[1] !== 0x4b) throw new UnreadableFile("file_damaged", file.name);
  const noImages = mammoth.images.imgElement(async () => ({ src: "" }));
  const { value } = await mammoth
    .convertToHtml({ arrayBuffer: bytes.buffer }, { convertImage: noImages })
    .catch(() => Promise.reject(new UnreadableFile("file_damaged", file.name)));
  return textOfHTML(value);
}
