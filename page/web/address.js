// The address of the page names the conversation that is shown, so that Back, Forward and a reload find it again.

const NAME = "c"; // http://…/#c=ID
let isAsked = false; // the address led here: what is opened for it takes its place in the history

const named = () => new URLSearchParams(location.hash.slice(1)).get(NAME);

// The conversation that the address asks for, or null.
export function asked() {
  isAsked = true;
  return named();
}

// Names the conversation that was opened: as one more step for Back where it was chosen on the page. inPlace: it takes
// the place of one that is gone.
export function name(id, inPlace) {
  if (id !== named()) {
    const address = new URL(location);
    address.hash = new URLSearchParams({ [NAME]: id });
    history[isAsked || inPlace ? "replaceState" : "pushState"](history.state, "", address);
  }
  isAsked = false;
}
