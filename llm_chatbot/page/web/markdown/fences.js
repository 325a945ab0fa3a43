// Blocks of code that are Markdown themselves, with blocks of code inside: a plugin for markdown-it.
//
// By CommonMark, the first closing fence ends the outer block. Models don't lengthen the outer fence, so that their
// blocks would shatter. A fence with a language can only open a block, so that the next one closes that block.

const MARKDOWN = /^(?:\{\.?)?(?:markdown|md|mdx|gfm|rmd|qmd)(?![\w-])/i; // also `markdown:README.md` and `{.markdown}`
const OPENING = /^(`{3,}|~{3,})[ \t]*([^\s`]*)[^`]*$/;
const CLOSING = /^(`{3,}|~{3,})[ \t]*$/;
const IN_LIST = /^(?:(?:[-*+]|\d{1,9}[.)])[ \t]+)*/; // an inner block may begin in the line of its list item

const isMarkdown = (language) => MARKDOWN.test(language);
const lineAt = (state, line) => state.src.slice(state.bMarks[line] + state.tShift[line], state.eMarks[line]);
const closes = (text, fence) => CLOSING.test(text) && text.trimEnd().length >= fence.length && text[0] === fence[0];

function fenceIn(text) {
  const match = OPENING.exec(text);
  return match && { fence: match[1], language: match[2] };
}

// The line of the closing fence, or the line after the block's last where there is none.
function endOf(state, startLine, endLine, outer) {
  const open = [outer];
  let line = startLine + 1;
  for (; line < endLine; line++) {
    const text = lineAt(state, line);
    if (text && state.sCount[line] < state.blkIndent) break; // the list item or quotation has ended
    const { fence, language } = open[open.length - 1];
    const isTooFarIn = open.length === 1 && state.sCount[line] - state.blkIndent >= 4;
    if (closes(text, fence) && !isTooFarIn) {
      open.pop();
      if (open.length === 0) break;
    } else if (isMarkdown(language)) {
      const inner = fenceIn(text.replace(IN_LIST, ""));
      if (inner?.language && inner.fence.startsWith(fence)) open.push(inner);
    }
  }
  return { line, isClosed: open.length === 0 };
}

function markdownFence(state, startLine, endLine, silent) {
  if (state.sCount[startLine] - state.blkIndent >= 4) return false;
  const text = lineAt(state, startLine);
  const outer = fenceIn(text);
  if (!outer || !isMarkdown(outer.language)) return false;
  if (silent) return true;
  const { line, isClosed } = endOf(state, startLine, endLine, outer);
  state.line = line + Number(isClosed);
  Object.assign(state.push("fence", "code", 0), {
    info: text.slice(outer.fence.length),
    content: state.getLines(startLine + 1, line, state.sCount[startLine], true),
    markup: outer.fence,
    map: [startLine, state.line],
  });
  return true;
}

/**
 * Lets blocks of code nest in those whose language is Markdown: `md.use(fencesPlugin)`.
 *
 * @param {any} md of markdown-it
 */
export function fencesPlugin(md) {
  const alt = ["paragraph", "reference", "blockquote", "list"];
  md.block.ruler.before("fence", "markdown_fence", markdownFence, { alt });
}
