// Parts of a text that is too long for the context, to choose from.

/** @import { TextValues } from "../types" */

/**
 * Parts in the order of the text, and together the whole of it.
 *
 * @typedef {object} Part
 * @property {string} key of the text that names it in the language of the page: by its heading, its pages or its lines
 * @property {TextValues} values
 * @property {string} text
 * @property {number} characters
 *
 * @param {string} text
 * @param {number} maxCharacters of a part
 * @returns {Part[]}
 */
export function parts(text, maxCharacters) {
  if (text.includes("\f")) return partsOfPages(text.split("\f"), maxCharacters);
  const sections = text.split(/^(?=#{1,6} \S)/m);
  if (sections.length > 1)
    return sections.filter((section) => section.trim()).flatMap((section) => partsOfSection(section, maxCharacters));
  return partsOfLines(text, maxCharacters);
}

const part = (key, values, text) => ({ key, values, text, characters: text.length });

function partsOfPages(pages, limit) {
  const texts = pages.map((page, index) => (index < pages.length - 1 ? `${page}\f` : page));
  return gathered(texts, limit).flatMap(({ first, items }) => {
    const from = first + 1;
    const text = items.join("");
    if (text.length > limit)
      return gathered(pieces(text, limit), limit).map((group, index) =>
        part("part_of_page", { page: from, part: index + 1 }, group.items.join("")),
      );
    const to = first + items.length;
    return [from === to ? part("part_page", { page: from }, text) : part("part_pages", { from, to }, text)];
  });
}

function partsOfSection(section, limit) {
  const title = /^#{1,6} (.*)/.exec(section)?.[1].trim().slice(0, 80);
  if (!title) return partsOfLines(section, limit);
  if (section.length <= limit) return [part("part_heading", { title }, section)];
  return gathered(pieces(section, limit), limit).map(({ items }, index) =>
    part("part_of_heading", { title, part: index + 1 }, items.join("")),
  );
}

function partsOfLines(text, limit) {
  let line = 1;
  return gathered(pieces(text, limit), limit).map(({ items }) => {
    const content = items.join("");
    const from = line;
    line += content.split("\n").length - 1;
    return part("part_lines", { from, to: content.endsWith("\n") ? line - 1 : line }, content);
  });
}

// Paragraphs; those that are too long by lines, and those by characters.
function pieces(text, limit) {
  const cut = (content, separators) => {
    if (content.length <= limit) return [content];
    const [separator, ...finer] = separators;
    if (!separator) return content.match(new RegExp(`[^]{1,${limit}}`, "g"));
    return content.split(separator).flatMap((smaller) => cut(smaller, finer));
  };
  return cut(text, [/(?<=\n\s*\n)/, /(?<=\n)/, /(?<=[.!?。！？]\s*)(?=\S)/, /(?<=\s)/]).filter(Boolean);
}

// Neighbours together, as many as the limit allows: [{first, items}], where `first` is an index.
function gathered(texts, limit) {
  const groups = [];
  let size = 0;
  texts.forEach((text, index) => {
    if (groups.length === 0 || size + text.length > limit) {
      groups.push({ first: index, items: [] });
      size = 0;
    }
    groups.at(-1).items.push(text);
    size += text.length;
  });
  return groups;
}
