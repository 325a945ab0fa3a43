// The settings of the conversation, and the language.

import { onNextAction } from "../common/actions.js";
import { below, chooseLanguage, currentLanguage, focused, make, text } from "../common/dom.js";
import { onKey } from "../common/keys.js";
import { openCompare } from "../models/compare.js";
import { openGetModel } from "../models/get_model.js";
import { modelMessages } from "../server/question.js";
import { get, post, whyFailed } from "../server/requests.js";
import { knownSettings, PRESETS } from "../store/presets.js";
import { logOutLink } from "./log_out.js";
import { parsedNumber, stepped } from "./numbers.js";
import { presetsPanel } from "./presets.js";

/** @import { Chat } from "../conversation/chat.js" */
/** @import { Store } from "../store/store.js" */
/** @import { LoadedModel, ModelKey, ServerState } from "../types" */

/**
 * @param {object} options
 * @param {ServerState} options.server
 * @param {Store} options.store
 * @param {Chat} options.chat
 * @param {Map<string, LoadedModel>} options.models those that were loaded, by their keys
 * @param {() => void} options.spoken called after another language was chosen
 * @param {() => void} options.showShortcuts
 */
export function settingsView({ server, store, chat, models, spoken, showShortcuts }) {
  const element = make("form", { class: "settings", onsubmit: (event) => event.preventDefault() });
  let shown = {};
  let wanted; // the model that was chosen last

  const setting = (name) => chat.conversation.settings[name];
  const set = (name, value) => {
    const { [name]: before, ...rest } = chat.conversation.settings;
    return chat.change({ settings: value === null ? rest : { ...rest, [name]: value } });
  };

  /** @returns {Partial<LoadedModel>} */
  const model = () => models.get(String(chat.conversation.model ?? server.model.key)) ?? {};

  function draw() {
    const { id, settings, model } = chat.conversation;
    const signature = JSON.stringify([settings, model, currentLanguage()]);
    const isTyped = id === shown.id && element.contains(document.activeElement);
    if (isTyped || (id === shown.id && signature === shown.signature)) return;
    build();
    shown = { id, signature };
  }

  function build() {
    element.replaceChildren(
      make("p", { class: "hint" }, text("from_next_message")),
      ...(server.models.length || server.get_models ? [modelFields()] : []),
      presets(),
      promptField(),
      ...thinkingFields(),
      ...server.settings.map(numberField),
      switchField("probabilities", false),
      make("button", { type: "button", onclick: restore }, text("defaults")),
      languageField(),
      make("button", { type: "button", onclick: showShortcuts }, text("shortcuts")),
      ...(server.login ? [logOutLink()] : []),
    );
  }

  const field = (name, label, control, ...more) =>
    make(
      "div",
      { class: "field" },
      make("label", { for: `set-${name}` }, label),
      make("p", { class: "hint", id: `help-${name}` }, text(`${name}_info`)),
      control,
      ...more,
    );

  function promptField() {
    const usual = model().system_prompt ?? "";
    const box = make("textarea", {
      dir: "auto",
      id: "set-system_prompt",
      "aria-describedby": "help-system_prompt",
      rows: 2,
    });
    box.value = String(setting("system_prompt") ?? usual);
    box.addEventListener("input", () => set("system_prompt", box.value === usual ? null : box.value));
    return field("system_prompt", text("system_prompt"), box);
  }

  // An emptied number means the default.
  function numberField({ name, default: usual, minimum, maximum, step }) {
    const limits = { min: minimum, max: maximum, step };
    const value = setting(name) ?? usual;
    // Not of the type "number": with a comma, browsers drop the sign or the whole number.
    const digits = make("input", {
      type: "text",
      inputmode: minimum < 0 ? "text" : Number.isInteger(step) ? "numeric" : "decimal",
      autocomplete: "off",
      id: `set-${name}`,
      value,
      placeholder: usual,
      "aria-describedby": `help-${name}`,
    });
    const slider =
      maximum === null
        ? null
        : make("input", { type: "range", ...limits, value, "aria-label": text("slider", { name: text(name) }) });
    const use = (typed) => {
      const valid = parsedNumber(typed, { minimum, maximum, step });
      if (slider) slider.value = valid ?? usual;
      set(name, valid === usual ? null : valid);
      return valid ?? usual;
    };
    digits.addEventListener("input", () => use(digits.value));
    digits.addEventListener("change", () => (digits.value = String(use(digits.value))));
    onKey(digits, (event) => {
      const direction = { ArrowUp: 1, ArrowDown: -1 }[event.key];
      if (!direction) return;
      event.preventDefault();
      const before = parsedNumber(digits.value, { minimum, maximum, step }) ?? (Number(usual) || minimum);
      digits.value = String(use(String(stepped(before, direction, { minimum, maximum, step }))));
    });
    slider?.addEventListener("input", () => (digits.value = String(use(slider.value))));
    return field(name, text(name), make("div", { class: "numbers" }, slider, digits));
  }

  // `usual` is what holds while nothing was chosen.
  function switchField(name, usual) {
    const box = make("input", {
      type: "checkbox",
      role: "switch",
      id: `set-${name}`,
      checked: setting(name) ?? usual,
      "aria-describedby": `help-${name}`,
    });
    box.addEventListener("change", () => set(name, box.checked === usual ? null : box.checked));
    return make(
      "div",
      { class: "field switch" },
      make("label", { for: `set-${name}` }, text(name)),
      box,
      make("p", { class: "hint", id: `help-${name}` }, text(`${name}_info`)),
    );
  }

  // Where the model's template has the switches.
  function thinkingFields() {
    const { thinking, effort } = model();
    const efforts = make("select", { id: "set-effort", "aria-describedby": "help-effort" }, [
      make("option", { value: "" }, text("by_model")),
      ...["low", "medium", "high"].map((effortName) =>
        make("option", { value: effortName, selected: setting("effort") === effortName }, text(`effort_${effortName}`)),
      ),
    ]);
    efforts.addEventListener("change", () => set("effort", efforts.value || null));
    const budget = { name: "thinking_budget", default: "", minimum: 0, maximum: null, step: 1 };
    return [
      ...(thinking ? [switchField("thinking", true)] : []),
      ...(effort ? [field("effort", text("effort"), efforts)] : []),
      ...(thinking || effort ? [numberField(budget)] : []),
    ];
  }

  function modelFields() {
    const [name, precision, device] = chat.conversation.model ?? server.model.key;
    const option = (value, label, selected) => make("option", { value, selected }, label);
    const models = server.models.map((choice) =>
      option(
        JSON.stringify([choice.name, choice.precision]),
        choice.title,
        choice.name === name && choice.precision === precision,
      ),
    );
    const devices = server.devices.map((deviceName) => option(deviceName, deviceName, deviceName === device));
    const status = make("p", { class: "hint", role: "status" });
    const model = make("select", { id: "set-model", "aria-describedby": "help-model" }, models);
    const where = make("select", { id: "set-device", "aria-describedby": "help-device" }, devices);
    const load = () => {
      const [name, precision] = JSON.parse(model.value);
      use([name, precision, where.value], status);
    };
    for (const select of [model, where]) select.addEventListener("change", load);
    const more = make(
      "div",
      { class: "more" },
      server.get_models &&
        make(
          "button",
          { type: "button", onclick: () => openGetModel({ use: (converted) => useNew(converted, where.value) }) },
          text("get_model"),
        ),
      server.models.length > 1 &&
        make("button", { type: "button", onclick: () => compare(where.value, status) }, text("compare")),
    );
    return make(
      "div",
      { class: "fields" },
      field("model", text("model"), model),
      field("device", text("device"), where),
      status,
      more,
    );
  }

  // A model that was converted a moment ago, and is not in the list yet.
  async function useNew({ name, precision }, device) {
    server.models = (await get("state")).models;
    build();
    await use([name, precision, device], below(element, "[role=status]"));
    build();
  }

  function compare(device, status) {
    const path = chat.path();
    openCompare({
      choices: server.models.map(({ title, name, precision }) => ({ title, key: [name, precision, device] })),
      chosen: chat.conversation.model ?? server.model.key,
      messages: modelMessages(path),
      settings: chat.conversation.settings,
      keep: async ({ question, key, answer }) => {
        await chat.keep(path.at(-1)?.id ?? null, question, answer);
        await use(key, status);
        build();
      },
    });
  }

  // One panel as long as the language stays, so that it keeps what was chosen in it.
  let panel;
  store.subscribe(({ value }) => value === PRESETS && panel?.refresh());
  function presets() {
    panel?.draw();
    if (panel?.language === currentLanguage()) return panel.element;
    const apply = async (settings) => {
      const before = focused();
      await chat.change({ settings });
      build();
      before?.focus();
    };
    panel = {
      ...presetsPanel({
        store,
        known: knownSettings(server.settings),
        settings: () => chat.conversation.settings,
        apply,
      }),
      language: currentLanguage(),
    };
    return panel.element;
  }

  /**
   * The model is loaded first; until then, the one before answers.
   *
   * @param {ModelKey} key
   * @param {HTMLElement} status
   */
  async function use(key, status) {
    const title = key.join(" · ");
    const { id } = chat.conversation;
    wanted = key;
    status.textContent = text("loading", { title });
    try {
      const loaded = await post("load", { model: key });
      models.set(String(loaded.key), loaded);
      if (key !== wanted) return;
      sayOnce(status, text("loaded", { title: loaded.title }));
      if (id === chat.conversation.id) await chat.change({ model: loaded.key });
    } catch (error) {
      sayOnce(status, whyFailed(error, "server_down"));
    }
  }

  function sayOnce(status, sentence) {
    status.textContent = sentence;
    onNextAction(() => {
      if (status.textContent === sentence) status.textContent = "";
    });
  }

  async function restore() {
    await chat.change({ settings: {} });
    build();
  }

  function languageField() {
    const choice = ([code, name]) => {
      const input = make("input", {
        type: "radio",
        name: "language",
        value: code,
        checked: code === currentLanguage(),
      });
      input.addEventListener("change", () => {
        chooseLanguage(code);
        build();
        spoken();
      });
      return make("label", {}, input, name);
    };
    return make(
      "fieldset",
      { class: "languages" },
      make("legend", {}, text("language")),
      Object.entries(server.languages).map(choice),
    );
  }

  return { element, draw, focus: () => below(element, "select, textarea")?.focus() };
}
