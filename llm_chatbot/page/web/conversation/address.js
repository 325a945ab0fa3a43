// The address of the page names the conversation that is shown, so that Back, Forward and a reload find it again.

const NAME = "c"; // http://…/#c=ID
let askedFor; // by an address: what is opened for it takes its place in the history

const named = () => new URLSearchParams(location.hash.slice(1)).get(NAME);

/** @returns {string | null} the id of the conversation that the address asks for */
export function asked() {
  askedFor = named();
  return askedFor;
}

/**
 * Names the conversation that was opened: as one more step for Back where it was chosen on the page.
 *
 * @param {string} id
 * @param {boolean} [inPlace] it takes the place of one that is gone
 */
export function name(id, inPlace) {
  if (askedFor !== undefined && askedFor !== named()) return; // the reader went on: what is asked for now comes next
  if (id !== named()) {
    const address = new URL(location.href);
    address.hash = String(new URLSearchParams({ [NAME]: id }));
    history[askedFor !== undefined || inPlace ? "replaceState" : "pushState"](history.state, "", address);
  }
  askedFor = undefined;
}
