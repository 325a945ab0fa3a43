// Which messages are drawn: those in sight and near it, the latest at once. Of the others there is the text.

const NEAR = "200px"; // beyond the edges
const LATEST = 6; // messages at the end, where a conversation is opened
const AROUND = 8; // messages before and after one that was searched for

/**
 * @param {HTMLElement} scroller
 * @param {(id: string) => { element: HTMLElement; reveal: () => void } | undefined} viewOf a message that is shown
 */
export function nearMessages(scroller, viewOf) {
  const observer = new IntersectionObserver(
    (entries) => reveal(entries.filter(({ isIntersecting }) => isIntersecting).map(({ target }) => idOf(target))),
    { root: scroller, rootMargin: `${NEAR} 0px` },
  );

  const idOf = (element) => element.dataset.id ?? "";

  /** @param {string[]} ids */
  function reveal(ids) {
    const views = ids.map(viewOf).filter((view) => view !== undefined);
    for (const view of views) observer.unobserve(view.element);
    keepingPlace(views, () => views.forEach((view) => view.reveal()));
  }

  // What is drawn above the reader pushes nothing away.
  function keepingPlace(views, draw) {
    const top = scroller.getBoundingClientRect().top;
    const seen = views.map(({ element }) => element).find((each) => each.getBoundingClientRect().bottom > top);
    const anchor = seen ?? views.at(-1)?.element.nextElementSibling;
    const before = anchor?.getBoundingClientRect().top ?? 0;
    draw();
    scroller.scrollTop += (anchor?.getBoundingClientRect().top ?? 0) - before;
  }

  return {
    /** @param {number} place of a message among `count` */
    isLate: (place, count) => place >= count - LATEST,
    /** @param {HTMLElement} element of a message that isn't drawn */
    watch: (element) => observer.observe(element),
    /** @param {HTMLElement} element of a message that is gone */
    forget: (element) => observer.unobserve(element),
    reveal,
    /**
     * @param {string[]} ids of the messages that are shown
     * @param {string} id
     */
    revealAround: (ids, id) => {
      const place = ids.indexOf(id);
      reveal(ids.slice(Math.max(0, place - AROUND), place + AROUND));
    },
  };
}
