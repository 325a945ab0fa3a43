// The libraries that the page loads when it first needs them. Each function returns a promise of the library.

/**
 * @template Library
 * @param {() => Promise<Library>} load
 * @returns {() => Promise<Library>}
 */
const once = (load) => {
  let promise;
  return () => (promise ??= load());
};

export const katex = once(async () => {
  const link = document.createElement("link");
  link.rel = "stylesheet";
  link.href = String(new URL("../../vendor/katex/katex.css", import.meta.url));
  document.head.append(link);
  return (await import("../../vendor/katex/katex.js")).default;
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
