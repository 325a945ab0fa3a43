// The few elements of HTML that models write and Markdown lacks: an allow list, without attributes. All other HTML is
// text.

const INLINE = /^<(sub|sup)>/i;
const BREAK = /^<br\s*\/?>/i;
const OPEN = /^<details>\s*/i;
const CLOSE = /^\s*<\/details>\s*$/i;
const SUMMARY = /^\s*<summary>(.*?)<\/summary>\s*(.*)$/i;

function inline(state, silent) {
  const rest = state.src.slice(state.pos);
  const line = BREAK.exec(rest);
  if (line) {
    if (!silent) state.push("hardbreak", "br", 0);
    state.pos += line[0].length;
    return true;
  }
  const tag = INLINE.exec(rest)?.[1].toLowerCase();
  if (!tag) return false;
  const end = rest.toLowerCase().indexOf(`</${tag}>`);
  if (end < 0 && !state.env.streaming) return false;
  const start = state.pos;
  const { posMax } = state;
  const length = tag.length + 2; // of the opening tag; the closing one has one character more
  if (!silent) {
    state.push(`${tag}_open`, tag, 1);
    state.pos = start + length;
    state.posMax = end < 0 ? posMax : start + end;
    state.md.inline.tokenize(state);
    state.posMax = posMax;
    state.push(`${tag}_close`, tag, -1);
  }
  state.pos = end < 0 ? posMax : start + end + length + 1;
  return true;
}

const lineAt = (state, line) => state.src.slice(state.bMarks[line] + state.tShift[line], state.eMarks[line]);

// The line of the closing tag, or -1.
function endOf(state, startLine, endLine) {
  let depth = 1;
  for (let line = startLine + 1; line < endLine; line++) {
    const text = lineAt(state, line);
    if (OPEN.test(text)) depth += 1;
    if (CLOSE.test(text)) depth -= 1;
    if (depth === 0) return line;
  }
  return state.env.streaming ? endLine : -1;
}

function details(state, startLine, endLine, silent) {
  const first = OPEN.exec(lineAt(state, startLine));
  if (!first || state.sCount[startLine] - state.blkIndent >= 4) return false;
  const end = endOf(state, startLine, endLine);
  if (end < 0) return false;
  if (silent) return true;
  const own = lineAt(state, startLine).slice(first[0].length);
  const hasOwn = SUMMARY.test(own);
  const summary = SUMMARY.exec(hasOwn ? own : startLine + 1 < end ? lineAt(state, startLine + 1) : "");
  state.push("details_open", "details", 1).map = [startLine, end];
  state.push("summary_open", "summary", 1);
  Object.assign(state.push("inline", "", 0), {
    content: summary?.[1].trim() || "…",
    children: [],
    map: [startLine, startLine + 1],
  });
  state.push("summary_close", "summary", -1);
  const { lineMax, parentType } = state;
  state.lineMax = end;
  state.parentType = "details";
  state.md.block.tokenize(state, startLine + (summary && !hasOwn ? 2 : 1), end);
  Object.assign(state, { lineMax, parentType });
  state.push("details_close", "details", -1);
  state.line = Math.min(end + 1, endLine);
  return true;
}

/**
 * Draws `<br>`, `<sub>`, `<sup>` and `<details>`: `md.use(htmlPlugin)`.
 *
 * @param {any} md of markdown-it
 */
export function htmlPlugin(md) {
  md.inline.ruler.before("autolink", "allowed_html", inline);
  md.block.ruler.before("paragraph", "details", details, { alt: ["paragraph", "reference", "blockquote", "list"] });
}
