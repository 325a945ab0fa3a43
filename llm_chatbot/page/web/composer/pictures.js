// Reads pictures that are attached: what is kept of one, shown and sent, is what the model gets.

import { MAX_BYTES, UnreadableFile } from "./attachments.js";

/** @import { Attachment } from "../types" */

const LONGEST = 2048; // pixels of the longer side: no model here reads more
const MOST_PIXELS = 50_000_000; // as the server's: see engine/vision/decoding.py
const MOST_BYTES = 1024 * 1024; // of one, so that sixteen go into a request: see MAX_CONVERSATION_BYTES in page/server.py
const QUALITIES = [0.92, 0.8, 0.6, 0.4]; // of JPEG, until it is small enough

// Formats that the server reads: see engine/vision/decoding.py.
const READ = ["image/png", "image/jpeg", "image/webp", "image/gif", "image/bmp"];

/**
 * A picture as it is, or scaled down or saved anew where it is larger than needed.
 *
 * @param {File} file
 * @returns {Promise<Attachment>}
 * @throws {UnreadableFile}
 */
export async function readPicture(file) {
  const { name } = file;
  if (file.size > MAX_BYTES) throw new UnreadableFile("file_too_large", name, { limit: MAX_BYTES / 1024 / 1024 });
  const pixels = await createImageBitmap(file).catch(() => Promise.reject(new UnreadableFile("file_damaged", name)));
  try {
    const { width, height } = pixels;
    if (width * height > MOST_PIXELS) throw new UnreadableFile("image.too_large", name, { limit: MOST_PIXELS / 1e6 });
    const scale = Math.min(1, LONGEST / Math.max(width, height));
    const size = /** @type {[number, number]} */ ([width, height].map((side) => Math.max(1, Math.round(side * scale))));
    const isAsItIs = scale === 1 && file.size <= MOST_BYTES && READ.includes(file.type);
    const picture = await dataURL(isAsItIs ? file : await saved(pixels, size, file.type));
    return { name, text: "", picture, size, ...(scale < 1 ? { from: [width, height] } : {}) };
  } finally {
    pixels.close();
  }
}

/**
 * @param {ImageBitmap} pixels
 * @param {[number, number]} size
 * @param {string} type of the file
 */
async function saved(pixels, [width, height], type) {
  const canvas = document.createElement("canvas");
  Object.assign(canvas, { width, height });
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  context.imageSmoothingQuality = "high";
  context.drawImage(pixels, 0, 0, width, height);
  const as = (...how) => new Promise((resolve) => canvas.toBlob(resolve, ...how));
  const png = type === "image/jpeg" ? null : await as("image/png"); // letters of a screenshot stay sharp
  if (png && png.size <= MOST_BYTES) return png;
  context.globalCompositeOperation = "destination-over"; // JPEG has no transparency
  context.fillStyle = "white";
  context.fillRect(0, 0, width, height);
  let jpeg;
  for (const quality of QUALITIES) {
    jpeg = await as("image/jpeg", quality);
    if (jpeg.size <= MOST_BYTES) break;
  }
  return jpeg;
}

/** @param {Blob} blob */
const dataURL = (blob) =>
  new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(blob);
  });
