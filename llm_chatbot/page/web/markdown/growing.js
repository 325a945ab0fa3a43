// Markdown that is cut anywhere, completed so that it is drawn as it will be: what is open at its end is closed. The
// functions are pure.

const RUN = /^(`+|\*{1,3}|_{1,3}|~~)/;
const LINK = /^!?\[((?:[^[\]\\\n]|\\.)*)\]\([^)\n]*$/; // a link whose address has not ended
const LABEL = /^!?\[(?=[^\s\d[\]x-][^[\]\n]*$)/; // the beginning of a text that may become a link's
const HALF_ROW = /(^|\n)(\|[^\n]*)(?:\n(\|?[ \t:|-]*))?$/;
const CELLS = /(?<!\\)\|/g;
const WORD = /[\p{L}\p{N}]/u;
const SPACE = /^\s?$/;

/**
 * The inline text of the last block with its emphasis, code and links closed.
 *
 * @param {string} text
 * @returns {string}
 */
export function closed(text) {
  /** @type {string[]} */
  const open = [];
  let shown = "";
  for (let at = 0; at < text.length; ) {
    const rest = text.slice(at);
    const link = LINK.exec(rest);
    if (link) return finished(shown + link[1], open);
    if (LABEL.test(rest)) {
      at += rest.startsWith("!") ? 2 : 1;
      continue;
    }
    const run = RUN.exec(rest)?.[0];
    if (rest[0] === "\\" || !run) {
      const length = rest[0] === "\\" ? 2 : 1;
      shown += rest.slice(0, length);
      at += length;
    } else if (run[0] === "`") {
      const end = endOfCode(text, at + run.length, run);
      if (end < 0) return finished(closedCode(shown, rest, run), open);
      shown += text.slice(at, end);
      at = end;
    } else {
      if (at + run.length === text.length && !closes(open, run, text[at - 1])) return finished(shown, open);
      toggle(open, run, text[at - 1] ?? "", text[at + run.length] ?? "");
      shown += run;
      at += run.length;
    }
  }
  return finished(shown, open);
}

const closes = (open, run, before = "") => open.includes(run) && !SPACE.test(before);

// Without spaces at its end, as after these there is no end of emphasis.
function finished(text, open) {
  const trimmed = text.trimEnd();
  return trimmed + [...open].reverse().join("") + text.slice(trimmed.length);
}

function closedCode(shown, rest, run) {
  const content = rest.slice(run.length);
  const partial = /`*$/.exec(content)?.[0] ?? ""; // the end may have arrived in part
  const code = content.slice(0, content.length - partial.length);
  return code.trim() ? `${shown}${run}${code}${run}` : shown;
}

function endOfCode(text, from, run) {
  for (const { 0: found, index } of text.slice(from).matchAll(/`+/g))
    if (found === run) return from + index + run.length;
  return -1;
}

// A lone star or line between words is no emphasis more often than it is.
function toggle(open, run, before, after) {
  if (closes(open, run, before)) open.splice(open.lastIndexOf(run));
  else if (!SPACE.test(after) && (run.length > 1 || !WORD.test(before))) open.push(run);
}

/**
 * A text whose last lines begin a table gets the line that makes it one.
 *
 * @param {string} text
 * @returns {string}
 */
export function withTable(text) {
  const match = HALF_ROW.exec(text);
  const before = match ? text.slice(0, match.index) : "";
  if (!match || /\|[^\n]*$/.test(before.split("\n").at(-1) ?? "")) return text;
  const [, start, head, line] = match;
  const columns = Math.max(
    1,
    [
      ...head
        .replace(/^\|/, "")
        .replace(/\|[ \t]*$/, "")
        .matchAll(CELLS),
    ].length + 1,
  );
  if (line !== undefined && isWholeLine(line, columns)) return text;
  return `${before}${start}${head}\n|${"---|".repeat(columns)}`;
}

const isWholeLine = (line, columns) => (line.match(/:?-+:?/g) ?? []).length >= columns;
