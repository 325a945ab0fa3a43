// The rows of a long list. Only those in sight and near it are drawn; of the others there is the name, in the same
// letters, so that nothing moves when they come into sight.

import { make } from "../common/dom.js";

const NEAR = "300px"; // beyond the edges of the list
const AROUND = 4; // rows before and after the focus, which the arrow keys lead to however fast they are pressed
const FIRST = 30; // so many are always drawn, also before the browser says which are in sight

/**
 * @typedef {object} Row
 * @property {HTMLElement} element
 * @property {string} signature of all that is drawn
 * @property {string} name
 * @property {(element: HTMLElement) => void} draw
 * @property {number} place in the list
 * @property {boolean} isDrawn
 *
 * @param {HTMLElement} scroller the list
 */
export function rowList(scroller) {
  /** @type {Map<string, Row>} */
  const rows = new Map();
  /** @type {WeakMap<Element, Row>} */
  const byElement = new WeakMap();
  const observer = new IntersectionObserver(
    (entries) => entries.forEach(({ target, isIntersecting }) => show(byElement.get(target), isIntersecting)),
    { root: scroller, rootMargin: `${NEAR} 0px` },
  );

  /**
   * @param {Row | undefined} row
   * @param {boolean} isNear
   */
  function show(row, isNear) {
    if (!row || row.isDrawn === isNear) return;
    const isUsed = row.element.contains(document.activeElement) || row.element.querySelector(".popup:not([hidden])");
    if (!isNear && (isUsed || row.place < FIRST)) return;
    row.isDrawn = isNear;
    paint(row);
  }

  scroller.addEventListener("focusin", ({ target }) => {
    const focused = target instanceof Element ? target.closest("li") : null;
    const all = focused ? [...scroller.querySelectorAll("li")] : [];
    const place = all.indexOf(/** @type {HTMLLIElement} */ (focused));
    for (const element of all.slice(Math.max(0, place - AROUND), place + AROUND + 1))
      show(byElement.get(element), true);
  });

  /** @param {Row} row */
  function paint({ element, name, draw, isDrawn }) {
    if (isDrawn) draw(element);
    else element.replaceChildren(make("div", { class: "row name-only", dir: "auto" }, make("span", {}, name)));
  }

  /**
   * The element of a row, which stays the same one, and is drawn anew only where something differs.
   *
   * @param {string} id
   * @param {Pick<Row, "signature" | "name" | "draw">} drawn
   * @param {number} place in the list
   * @returns {HTMLElement}
   */
  function row(id, drawn, place) {
    const known = rows.get(id);
    const element = known?.element ?? make("li");
    const row = { ...drawn, element, place, isDrawn: known?.isDrawn || place < FIRST };
    rows.set(id, row);
    byElement.set(element, row);
    const seen = row.isDrawn ? "signature" : "name";
    if (known?.[seen] !== row[seen] || known.isDrawn !== row.isDrawn) paint(row);
    if (!known) observer.observe(element);
    return element;
  }

  /** @param {string} id of a row whose element was changed otherwise, and has to be drawn again */
  function spoil(id) {
    const row = rows.get(id);
    if (row) row.signature = "";
  }

  /** @param {Set<string>} ids of the rows that are left */
  function keepOnly(ids) {
    for (const [id, { element }] of rows) {
      if (ids.has(id)) continue;
      observer.unobserve(element);
      rows.delete(id);
    }
  }

  return { row, spoil, keepOnly };
}
