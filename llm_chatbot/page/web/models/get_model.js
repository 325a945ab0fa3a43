// "Get a model": what there is, whether it fits on this machine, and its conversion. See page/get_model.py.

import { below, currentLanguage, errorText, icon, iconButton, make, number, text } from "../common/dom.js";
import { numberFormat } from "../common/formats.js";
import { ICONS } from "../common/icons.js";
import { post, whyFailed } from "../server/requests.js";

/** @import { ConversionState, FreeSpace, ModelFacts } from "../types" */

const POLL = 500; // milliseconds between two looks at a conversion
const DEFAULT = "default"; // each model's own choice: what is in a GGUF file, otherwise INT4
const PRECISIONS = [DEFAULT, "INT4", "INT8", "FP16"];
const FOLDERS = ["GGUF", "INT4", "INT8", "FP16"];
const CONTEXTS = [2048, 4096, 8192, 16384, 32768, 131072];

// The converter's steps, which are its libraries' words, and the texts of the page for them.
const STEPS = {
  Starting: "get_model_starting",
  Downloading: "get_model_downloading",
  Reading: "get_model_reading",
  Exporting: "get_model_exporting",
  "Mixed-Precision assignment": "get_model_measuring",
  "Applying Weight Compression": "get_model_compressing",
  Weights: "get_model_compressing",
  Saving: "get_model_saving",
  Tokenizer: "get_model_tokenizer",
  Predicting: "get_model_predicting",
  Answering: "get_model_answering",
  Timing: "get_model_timing",
  Loading: "get_model_loading",
};

/**
 * Bytes that are needed, and that are lacking, to convert a model, unless it is there, and to chat with it.
 *
 * @param {Pick<ModelFacts, "context" | "download" | "variants">} model
 * @param {string} precision
 * @param {number} context in tokens
 * @param {FreeSpace} free
 * @returns {{ needsDisk: number; needsMemory: number; disk: number; memory: number } | null} null: the size of the
 *   model is unknown
 */
export function lacking(model, precision, context, free) {
  const variant = model.variants[precision];
  if (!variant) return null;
  const needsDisk = variant.converted ? 0 : variant.disk + model.download;
  const chat = variant.chat[Math.min(context, longest(model.context))] ?? 0;
  const needsMemory = Math.max(chat, variant.converted ? 0 : variant.memory);
  return {
    needsDisk,
    needsMemory,
    disk: Math.max(0, needsDisk - free.disk),
    memory: Math.max(0, needsMemory - free.memory),
  };
}

/**
 * The facts of a model whose 4-bit folder OpenVINO publishes, as that folder makes them: it is downloaded and copied.
 *
 * @param {ModelFacts} model
 * @returns {ModelFacts}
 */
export function published(model) {
  const { INT4, ...rest } = model.variants;
  return {
    ...model,
    download: INT4.weights,
    variants: { ...rest, INT4: { ...INT4, disk: INT4.weights, memory: 0 } },
  };
}

// The largest of the offered contexts that the model has; one that it lacks takes no memory.
const longest = (context) => CONTEXTS.findLast((tokens) => !context || tokens <= context) ?? CONTEXTS[0];

/**
 * The models to show, by what they are: those of this machine before the catalogue.
 *
 * @param {ModelFacts[]} models
 * @returns {[source: string, models: ModelFacts[]][]}
 */
export function grouped(models) {
  const groups = { found: [], gguf: [], converted: [], catalogue: [] };
  for (const model of models) (groups[model.source] ?? groups.found).push(model);
  return Object.entries(groups).filter(([, members]) => members.length);
}

const nameOf = (precision) => (precision === DEFAULT ? text("get_model_default") : precision);

/** @param {number} value */
export const bytes = (value) =>
  value >= 1e8 ? `${number(value / 1e9, 1)} GB` : `${number(Math.ceil(value / 1e6))} MB`;

const parameters = (count) =>
  count ? numberFormat(currentLanguage(), { notation: "compact", maximumSignificantDigits: 2 }).format(count) : "";

/**
 * @param {Pick<ConversionState, "done" | "total">} state
 * @returns {number | undefined} the share of a step that is done, from 0 to 1; undefined: not known
 */
export const share = ({ done, total }) => (total && done ? Math.min(1, done / total) : undefined);

/**
 * Opens the view over the page.
 *
 * @param {object} options
 * @param {(model: { name: string; precision: string }) => void} options.use called with a converted model that was
 *   chosen
 */
export function openGetModel({ use }) {
  const view = {
    /** @type {ModelFacts[]} */
    models: [],
    free: { disk: 0, memory: 0 },
    /** @type {ModelFacts[]} */
    found: [],
    /** @type {ConversionState | null} */
    conversion: null,
    precision: DEFAULT,
    prebuilt: false,
    context: 8192,
  };
  let polling;
  const precisionOf = (model) => (view.precision === DEFAULT ? model.precision : view.precision);

  const status = make("p", { role: "status", class: "view-status" });
  const running = make("div", { class: "get-model-running" });
  const table = make("div", { class: "get-model-table" });
  const name = make("input", {
    type: "text",
    id: "get-model-name",
    placeholder: text("get_model_name_example"),
    autocomplete: "off",
    spellcheck: "false",
  });
  const dialog = make(
    "dialog",
    {
      class: "view get-model",
      "aria-labelledby": "get-model-title",
      onclose: close,
    },
    make(
      "header",
      {},
      make("h2", { id: "get-model-title" }, text("get_model")),
      iconButton(ICONS.close, text("get_model_close"), () => dialog.close()),
    ),
    make(
      "form",
      { class: "view-choice", onsubmit: find },
      make("label", { for: "get-model-name" }, text("get_model_name")),
      name,
      make("button", { type: "submit" }, text("get_model_find")),
    ),
    make(
      "div",
      { class: "view-choice" },
      choice("get_model_precision", PRECISIONS, view.precision, (value) => set("precision", value), nameOf),
      make(
        "label",
        {},
        make("input", { type: "checkbox", onchange: (event) => set("prebuilt", event.target.checked) }),
        text("get_model_prebuilt"),
      ),
      choice("get_model_context", CONTEXTS, view.context, (value) => set("context", Number(value)), number),
    ),
    running,
    status,
    table,
  );

  function close() {
    clearTimeout(polling);
    dialog.remove();
  }

  function set(name, value) {
    view[name] = value;
    drawTable();
  }

  /**
   * @template {string | number} Value
   * @param {string} key
   * @param {Value[]} values
   * @param {Value} chosen
   * @param {(value: string) => void} use
   * @param {(value: Value) => string} [label]
   */
  function choice(key, values, chosen, use, label = String) {
    const options = values.map((value) => make("option", { value, selected: value === chosen }, label(value)));
    const select = make("select", { onchange: () => use(select.value) }, options);
    return make("label", {}, text(key), select);
  }

  // A model's precision for people to read, such as "Q4_K_M, as in the file".
  function labelOf(name, precision) {
    const model = [...view.found, ...view.models].find((each) => each.name === name);
    return model?.variants[precision]?.label ?? precision;
  }

  let said = 0;

  /**
   * Says something. Two requests may run at a time: the one that ends later leaves what the other has said.
   *
   * @param {string} sentence
   * @returns {() => void} takes it away, unless something else was said since
   */
  function say(sentence) {
    const mine = ++said;
    status.textContent = sentence;
    return () => {
      if (mine === said) status.textContent = "";
    };
  }

  // Runs a request; what the server refuses is said. Returns undefined then.
  async function request(path, data = {}) {
    try {
      return await post(path, data);
    } catch (error) {
      say(whyFailed(error, "get_model_no_server"));
    }
  }

  async function load() {
    const end = say(text("get_model_looking"));
    const answer = await request("models");
    if (!answer) return;
    end();
    keep(answer);
    view.models = answer.models;
    drawTable();
  }

  const keep = (answer) => (view.free = { disk: answer.free_disk, memory: answer.free_memory });

  async function find(event) {
    event.preventDefault();
    if (!name.value.trim()) return name.focus();
    const end = say(text("get_model_looking"));
    const answer = await request("models/info", { name: name.value.trim() });
    if (!answer) return;
    end();
    keep(answer);
    view.found = [...answer.models, ...view.found.filter((model) => model.name !== answer.models[0].name)];
    drawTable();
  }

  async function convert(model) {
    say("");
    follow(
      await request("models/convert", { name: model.name, precision: precisionOf(model), prebuilt: taken(model) }),
    );
    running.querySelector("button")?.focus();
  }

  async function measure(model) {
    say("");
    follow(await request("models/measure", { name: model.name }));
    running.querySelector("button")?.focus();
  }

  // Whether a model's folder is OpenVINO's own, because the reader wants it and there is one.
  const taken = (model) =>
    view.prebuilt && precisionOf(model) === "INT4" && Boolean(model.openvino_id && model.variants.INT4);

  async function cancel(button) {
    button.disabled = true;
    follow(await request("models/cancel"));
  }

  // Shows how far the conversion is, until it has ended.
  function follow(answer) {
    if (!answer) return;
    const before = view.conversion;
    view.conversion = answer.conversion;
    drawRunning();
    clearTimeout(polling);
    if (view.conversion?.phase === "running" && dialog.isConnected)
      polling = setTimeout(async () => follow((await request("models/state")) ?? answer), POLL);
    else if (before?.phase === "running") refresh(before.name);
    if (before?.phase !== view.conversion?.phase) drawTable();
  }

  async function refresh(converted) {
    if (view.found.some((model) => model.name === converted)) {
      const answer = await request("models/info", { name: converted });
      if (answer) view.found = view.found.map((model) => (model.name === converted ? answer.models[0] : model));
    }
    const answer = await request("models");
    if (!answer) return;
    keep(answer);
    view.models = answer.models;
    drawTable();
  }

  function drawRunning() {
    const conversion = view.conversion;
    if (!conversion) return running.replaceChildren();
    const precision = conversion.precision && labelOf(conversion.name, conversion.precision);
    const title = precision ? `${conversion.name} · ${precision}` : conversion.name;
    if (conversion.phase === "running") return drawProgress(conversion, title);
    const end = make("p", { role: conversion.phase === "failed" ? "alert" : "status" }, outcome(conversion, title));
    const offer =
      conversion.phase === "done" &&
      conversion.precision &&
      make("button", { type: "button", onclick: () => choose(conversion) }, text("get_model_use"));
    running.replaceChildren(make("div", { class: `get-model-end ${conversion.phase}` }, end, offer || null));
  }

  /**
   * @param {ConversionState} conversion
   * @param {string} title
   */
  function drawProgress(conversion, title) {
    if (!running.querySelector("progress"))
      running.replaceChildren(
        make("strong", {}),
        make("span", { class: "get-model-step" }),
        make("progress", { max: 1, "aria-label": text("get_model_progress") }),
        make("button", { type: "button", onclick: (event) => cancel(event.currentTarget) }, text("get_model_cancel")),
      );
    const part = share(conversion);
    const { unit, done, total } = conversion;
    const amount = unit === "B" ? `${bytes(done)} / ${bytes(total ?? 0)}` : `${number(100 * (part ?? 0))} %`;
    below(running, "strong").textContent = title;
    below(running, ".get-model-step").textContent =
      text(STEPS[conversion.step] ?? "get_model_compressing") + (part === undefined ? "…" : ` · ${amount}`);
    const bar = /** @type {HTMLProgressElement} */ (below(running, "progress"));
    if (part === undefined) bar.removeAttribute("value");
    else bar.value = part;
  }

  /**
   * @param {ConversionState} conversion
   * @param {string} title
   */
  function outcome(conversion, title) {
    const what = conversion.precision ? "" : "measuring_";
    if (conversion.phase === "done") return text(`get_model_${what}done`, { title });
    if (conversion.phase === "cancelled") return text(`get_model_${what}cancelled`, { title });
    return errorText(conversion.error) || text(`get_model_${what}killed`, { title });
  }

  function choose({ name, precision }) {
    dialog.close();
    use({ name, precision });
  }

  function drawTable() {
    const found = view.found.map((model) => ({ ...model, source: "found" }));
    const hidden = new Set(found.map((model) => model.name));
    const groups = grouped([...found, ...view.models.filter((model) => !hidden.has(model.name))]);
    const heads = ["get_model_model", "license", "parameters", "size", "memory", "fits"].map((key) =>
      make("th", { scope: "col" }, text(key.startsWith("get") ? key : `get_model_${key}`)),
    );
    table.replaceChildren(
      make(
        "p",
        { class: "hint" },
        text("get_model_free", { disk: bytes(view.free.disk), memory: bytes(view.free.memory) }),
      ),
      make(
        "table",
        {},
        make("thead", {}, make("tr", {}, heads, make("td", {}))),
        groups.map(([source, models]) =>
          make(
            "tbody",
            {},
            make(
              "tr",
              { class: "group" },
              make("th", { scope: "rowgroup", colspan: 7 }, text(`get_model_from_${source}`)),
            ),
            models.flatMap((model) => [row(model), variantsRow(model)].filter(Boolean)),
          ),
        ),
      ),
    );
  }

  function row(model) {
    const precision = precisionOf(model);
    const variant = model.variants[precision];
    const need = lacking(taken(model) ? published(model) : model, precision, view.context, view.free);
    const cell = (key, ...content) =>
      make("td", { "data-col": key, "data-label": text(`get_model_${key}`) }, ...content);
    return make(
      "tr",
      {},
      make(
        "th",
        { scope: "row" },
        make("strong", {}, model.name),
        description(model),
        taken(model) && make("small", {}, text("get_model_taken", { id: model.openvino_id })),
      ),
      cell("license", model.license, model.gated && make("small", {}, text("get_model_gated"))),
      cell("parameters", parameters(model.parameters)),
      cell("size", variant ? bytes(variant.weights) : "", variant && make("small", {}, variant.label)),
      cell("memory", need && Object.keys(variant.chat).length ? bytes(need.needsMemory) : "?"),
      cell("fits", verdict(model, need)),
      make("td", { class: "action" }, action(model, variant)),
    );
  }

  function description({ error, descriptions = {} }) {
    const lang = currentLanguage() in descriptions ? currentLanguage() : "en";
    return error ? make("small", {}, errorText(error)) : make("small", { lang }, descriptions[lang]);
  }

  function verdict(model, need) {
    if (model.error) return make("span", { class: "no" }, text("get_model_unusable"));
    if (!need) return text("get_model_unknown");
    const short = ["disk", "memory"]
      .filter((what) => need[what])
      .map((what) => text(`get_model_lacks_${what}`, { size: bytes(need[what]) }));
    if (short.length) return make("span", { class: "no" }, short.join(", "));
    return make("span", { class: "yes" }, icon(ICONS.done), text("get_model_fits"));
  }

  function action(model, variant) {
    if (model.error) return null;
    const { name } = model;
    if (variant?.converted)
      return make(
        "button",
        {
          type: "button",
          "aria-label": `${text("get_model_use")}: ${name}`,
          onclick: () => choose({ name, precision: precisionOf(model) }),
        },
        text("get_model_use"),
      );
    const busy = view.conversion?.phase === "running";
    const label = text(taken(model) ? "get_model_download" : "get_model_convert");
    return make(
      "button",
      { type: "button", disabled: busy, "aria-label": `${label}: ${name}`, onclick: () => convert(model) },
      label,
    );
  }

  // What compression costs: the figures of a model's variants on this machine, and the button that measures them.
  function variantsRow(model) {
    const there = FOLDERS.filter((precision) => model.variants[precision]?.converted);
    if (!there.length) return null;
    const label = text("get_model_measure");
    const comparable = there.includes("FP16") && there.length > 1;
    const button = {
      type: "button",
      disabled: view.conversion?.phase === "running",
      "aria-label": `${label}: ${model.name}`,
      onclick: () => measure(model),
    };
    return make(
      "tr",
      { class: "get-model-variants" },
      make(
        "td",
        { colspan: 7 },
        make(
          "details",
          { open: Object.keys(model.measured).length > 0 },
          make("summary", {}, text("get_model_cost")),
          figures(
            there.filter((precision) => model.measured[precision]),
            model,
          ),
          comparable ? make("button", button, label) : make("p", { class: "hint" }, text("get_model_measure_needs")),
        ),
      ),
    );
  }

  function figures(precisions, { variants, measured }) {
    if (!precisions.length) return null;
    const columns = {
      size: (variant) => bytes(variant.size_mb * 1e6),
      bits: (variant) => number(variant.bits_per_weight, 2),
      kl: (variant) => number(variant.kl, 4),
      speed: (variant) => number(variant.decode_tps, 1),
    };
    const names = Object.keys(columns);
    return make(
      "table",
      {},
      make(
        "thead",
        {},
        make(
          "tr",
          {},
          make("td", {}),
          names.map((name) => make("th", { scope: "col" }, text(`get_model_${name}`))),
        ),
      ),
      make(
        "tbody",
        {},
        precisions.map((precision) =>
          make(
            "tr",
            {},
            make("th", { scope: "row" }, variants[precision].label),
            names.map((name) =>
              make("td", { "data-label": text(`get_model_${name}`) }, columns[name](measured[precision])),
            ),
          ),
        ),
      ),
    );
  }

  document.body.append(dialog);
  dialog.showModal();
  drawTable();
  load();
  request("models/state").then(follow);
  return dialog;
}
