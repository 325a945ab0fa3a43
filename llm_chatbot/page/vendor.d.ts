// The libraries in vendor, as far as the page uses them.
// biome-ignore-all lint/suspicious/noExplicitAny: their own types are in packages of npm that are not installed

declare module "*/vendor/idb.js" {
  export const openDB: any;
}
declare module "*/vendor/markdown-it.js" {
  const library: any;
  export default library;
}
declare module "*/vendor/cjk-friendly.js" {
  const plugin: any;
  export default plugin;
}
declare module "*/vendor/dompurify.js" {
  const library: any;
  export default library;
}
declare module "*/vendor/tasklist.js" {
  export const tasklist: any;
}
declare module "*/vendor/highlight.js" {
  const library: any;
  export default library;
}
declare module "*/vendor/mammoth.js" {
  const library: any;
  export default library;
}
declare module "*/vendor/katex/katex.js" {
  const library: any;
  export default library;
}
declare module "*/vendor/pdf/pdf.js" {
  export const GlobalWorkerOptions: { workerSrc: string };
  export const getDocument: any;
  export class PasswordException extends Error {}
  export class InvalidPDFException extends Error {}
}
