// What differs between two answers, for comparing them.

const WORDS = /\s+|[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}]|[\p{L}\p{N}_]+|[^\s]/gu;
const MAX_CELLS = 4_000_000; // of the table in `commonParts`: about 16 MB

// Two lists of [{text, differs}], one for each side, whose texts together are the whole of it. Without tokens, the
// texts are compared by words; East Asian characters count as words.
export function differences(one, other) {
  const sides = [one, other].map((side) => (Array.isArray(side) ? side : (side.match(WORDS) ?? [])));
  const common = commonParts(...sides);
  return sides.map((side, index) => runs(side, common[index]));
}

// Which items belong to a longest common subsequence: [Set of indices of `a`, Set of indices of `b`].
function commonParts(a, b) {
  let start = 0;
  while (start < Math.min(a.length, b.length) && a[start] === b[start]) start++;
  let end = 0;
  while (end < Math.min(a.length, b.length) - start && a.at(-1 - end) === b.at(-1 - end)) end++;
  const [rows, columns] = [a.length - start - end, b.length - start - end];
  const pairs = rows * columns > MAX_CELLS ? [] : matches(a.slice(start, start + rows), b.slice(start, start + columns));
  const range = (from, count) => Array.from({ length: count }, (_, index) => from + index);
  const of = (length, side) =>
    new Set([...range(0, start), ...pairs.map((pair) => pair[side] + start), ...range(length - end, end)]);
  return [of(a.length, 0), of(b.length, 1)];
}

// The pairs of a longest common subsequence, from the table of its lengths.
function matches(a, b) {
  const width = b.length + 1;
  const lengths = new Uint32Array((a.length + 1) * width);
  for (let i = a.length - 1; i >= 0; i--)
    for (let j = b.length - 1; j >= 0; j--)
      lengths[i * width + j] =
        a[i] === b[j]
          ? lengths[(i + 1) * width + j + 1] + 1
          : Math.max(lengths[(i + 1) * width + j], lengths[i * width + j + 1]);
  const pairs = [];
  for (let i = 0, j = 0; i < a.length && j < b.length; ) {
    if (a[i] === b[j]) pairs.push([i++, j++]);
    else if (lengths[(i + 1) * width + j] >= lengths[i * width + j + 1]) i++;
    else j++;
  }
  return pairs;
}

function runs(items, common) {
  const found = [];
  items.forEach((text, index) => {
    const differs = !common.has(index);
    if (found.at(-1)?.differs === differs) found.at(-1).text += text;
    else found.push({ text, differs });
  });
  return found;
}
