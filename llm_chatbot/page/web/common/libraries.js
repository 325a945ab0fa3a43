// The libraries, and the page's own modules, that are loaded when they are first needed. Each function returns a promise.

/**
 * @template Library
 * @param {() => Promise<Library>} load is called again where it failed, as while the server is down
 * @returns {() => Promise<Library>}
 */
const once = (load) => {
  let promise;
  const again = (error) => {
    promise = undefined;
    throw error;
  };
  return () => (promise ??= load().catch(again));
};

/** @param {string} path from this file */
function addStyle(path) {
  const link = document.createElement("link");
  link.rel = "stylesheet";
  link.href = String(new URL(path, import.meta.url));
  document.head.append(link);
}

export const katex = once(async () => {
  addStyle("../../vendor/katex/katex.css");
  return (await import("../../vendor/katex/katex.js")).default;
});

/** Reads files that are attached. */
export const attachments = once(() => import("../composer/attachments.js"));

/** Chooses what of a long text goes in. */
export const partChoice = once(() => {
  addStyle("../composer/part_choice.css");
  return import("../composer/part_choice.js");
});

/** Shows a file that is attached. */
export const fileView = once(() => {
  addStyle("../conversation/file_view.css");
  return import("../conversation/file_view.js");
});

/** For files that are exported and imported. */
export const transfer = once(() => import("../exchange/transfer.js"));

/** Makes titles. */
export const titles = once(() => import("../conversation/titles.js"));

/** Makes summaries of long conversations. */
export const summaries = once(() => import("../conversation/summaries.js"));

/** Shows them. */
export const summary = once(() => {
  addStyle("../conversation/summary.css");
  return import("../conversation/summary_view.js");
});

/** Goes on with answers that ask for calls of tools. */
export const rounds = once(() => import("../tools/rounds.js"));

/** Draws calls of tools. */
export const calls = once(() => {
  addStyle("../tools/tools.css");
  return import("../tools/calls.js");
});

/** Asks whether a call may be made. */
export const asking = once(async () => {
  await calls(); // its style
  return import("../tools/ask.js");
});

/** Chooses tools. */
export const tools = once(async () => {
  await calls();
  return import("../tools/choice.js");
});

export const highlight = once(async () => (await import("../../vendor/highlight.js")).default);

export const mammoth = once(async () => (await import("../../vendor/mammoth.js")).default);

export const pdf = once(async () => {
  const library = await import("../../vendor/pdf/pdf.js");
  library.GlobalWorkerOptions.workerSrc = String(new URL("../../vendor/pdf/pdf.worker.js", import.meta.url));
  return library;
});

// The folder with the encodings of East Asian fonts, for PDF files that do not contain them.
export const PDF_ENCODINGS = String(new URL("../../vendor/pdf/cmaps/", import.meta.url));
