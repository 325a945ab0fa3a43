// The tokens of an answer in its drawn Markdown: each character that is seen belongs to the token that wrote it.

const FAR = 200; // characters of markup, such as a link's address, that may stand between two that are seen
const NOT_WRITTEN = ".code-head, .line-numbers"; // what is drawn beside the answer's own text

/**
 * Which token each drawn character comes from. Characters are taken in their order, and those of the source that aren't
 * drawn are passed over, where what follows fits again.
 *
 * @param {string} drawn
 * @param {string} source
 * @param {number[]} owners the index of the token of each character of the source; -1: none
 * @returns {number[]} for each drawn character
 */
export function ownersOf(drawn, source, owners) {
  const found = [];
  let place = 0;
  for (let index = 0; index < drawn.length; index++) {
    const next = nextPlace(drawn, index, source, place);
    found.push(owners[next < 0 ? Math.min(place, source.length - 1) : next] ?? -1);
    if (next >= 0) place = next + 1;
  }
  return found;
}

const isSame = (a, b) => a === b || (/\s/.test(a) && /\s/.test(b));

function nextPlace(drawn, index, source, from) {
  const end = Math.min(source.length, from + FAR);
  for (let place = from; place < end; place++) {
    if (!isSame(drawn[index], source[place])) continue;
    if (place === from || fits(drawn[index + 1], source[place + 1])) return place;
  }
  return -1;
}

// What comes after a jump is the same again, or markup.
const fits = (drawn, written) =>
  drawn === undefined || written === undefined || isSame(drawn, written) || /[^\p{L}\p{N}]/u.test(written);

/**
 * Puts the drawn text of a block into spans, one for each token or, where elements begin and end within it, several.
 * Tokens of which nothing is seen, such as `**`, get a span of their own before the next one.
 *
 * @param {HTMLElement} block drawn from `source`
 * @param {string} source
 * @param {number[]} owners see `ownersOf`
 * @param {(index: number, text: string, isSeen: boolean) => HTMLElement} span of a token
 */
export function wrapTokens(block, source, owners, span) {
  const nodes = textNodes(block);
  const all = ownersOf(nodes.map(({ data }) => data).join(""), source, owners);
  const seen = new Set(all);
  const unseen = [...new Set(owners)].filter((index) => index >= 0 && !seen.has(index));
  const textOf = (index) =>
    source
      .split("")
      .filter((_, place) => owners[place] === index)
      .join("");
  const before = (index) => {
    const passed = [];
    while (unseen.length && unseen[0] < index) passed.push(/** @type {number} */ (unseen.shift()));
    return passed.map((each) => span(each, textOf(each), false));
  };
  let start = 0;
  for (const node of nodes) {
    const parts = runs(node.data, all.slice(start, start + node.data.length));
    start += node.data.length;
    node.replaceWith(
      ...parts.flatMap(({ owner, text }) => [...before(owner), owner < 0 ? text : span(owner, text, true)]),
    );
  }
  const last = nodes.length ? block.querySelectorAll(".token") : [];
  const rest = before(Infinity);
  if (last.length) last[last.length - 1].after(...rest);
  else block.append(...rest);
}

/** @param {HTMLElement} block whose tokens are plain text again */
export function unwrapTokens(block) {
  for (const span of block.querySelectorAll(".token")) {
    if (span.classList.contains("markup")) span.remove();
    else span.replaceWith(...span.childNodes);
  }
  block.normalize();
}

/** @returns {Text[]} */
function textNodes(block) {
  const walker = document.createTreeWalker(block, NodeFilter.SHOW_TEXT);
  const found = [];
  for (let node = walker.nextNode(); node; node = walker.nextNode())
    if (!node.parentElement?.closest(NOT_WRITTEN)) found.push(/** @type {Text} */ (node));
  return found;
}

// Pieces of a text whose characters have the same owner.
function runs(text, owners) {
  const parts = [];
  for (let place = 0; place < text.length; place++) {
    const last = parts.at(-1);
    if (last?.owner === owners[place]) last.text += text[place];
    else parts.push({ owner: owners[place], text: text[place] });
  }
  return parts;
}
