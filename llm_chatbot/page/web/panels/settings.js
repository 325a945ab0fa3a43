// The settings of the conversation and of this browser, in groups that fit on one screen.

import { onNextAction } from "../common/actions.js";
import { below, chooseLanguage, currentLanguage, focused, make, text } from "../common/dom.js";
import { chooseSize, chooseTheme, chosenSize, chosenTheme, SIZES, THEMES } from "../common/theme.js";
import { chooseSummaries, chooseTitles, wantsSummaries, wantsTitles } from "../store/background.js";
import { knownSettings, ofConversation, PRESETS } from "../store/presets.js";
import { field, numberField, segments, switchField } from "./fields.js";
import { presetsPanel } from "./presets.js";

/** @import { Chat } from "../conversation/chat.js" */
/** @import { ModelChooser } from "../models/chooser.js" */
/** @import { Store } from "../store/store.js" */
/** @import { Child, NumberSetting, ServerState } from "../types" */

/** @type {NumberSetting} */
const BUDGET = { name: "thinking_budget", default: "", minimum: 0, maximum: null, step: 1 };

// Gradio's own address for it, of this browser only.
const logOutLink = () =>
  make("a", { class: "log-out", href: new URL("logout?all_session=false", document.baseURI) }, text("log_out"));

/**
 * @param {object} options
 * @param {ServerState} options.server
 * @param {Store} options.store
 * @param {Chat} options.chat
 * @param {ModelChooser} options.chooser
 * @param {Record<"exportAll" | "choose" | "deleteAll" | "prompts", () => unknown>} options.data what can be done with
 *   all that is kept in this browser
 * @param {() => Promise<void>} options.spoken called after another language was chosen
 * @param {() => void} options.showShortcuts
 */
export function settingsView({ server, store, chat, chooser, data, spoken, showShortcuts }) {
  const element = make("form", { class: "settings", onsubmit: (event) => event.preventDefault() });
  const status = make("p", { class: "hint", role: "status" });
  const hint = make("p", { class: "hint" });
  let shown = {};

  const setting = (name) => chat.conversation.settings[name];
  const set = (name, value) => {
    const { [name]: before, ...rest } = chat.conversation.settings;
    return chat.change({ settings: value === null ? rest : { ...rest, [name]: value } });
  };

  function draw() {
    const { id, settings, model } = chat.conversation;
    const signature = JSON.stringify([settings, model, currentLanguage(), server.models.length]);
    const isTyped = id === shown.id && element.contains(document.activeElement);
    const isSame = signature === shown.signature && !element.querySelector(":invalid"); // of another conversation, too
    shown.id = isTyped ? shown.id : id;
    if (isTyped || isSame) return;
    build();
    shown = { id, signature };
  }

  function build() {
    hint.textContent = text("from_next_message");
    element.replaceChildren(
      ...(server.models.length || server.get_models ? [group("model", modelFields(), modelActions())] : []),
      group("instructions", [promptField(), presets()], action("prompts", data.prompts)),
      group(
        "sampling",
        [...thinkingFields(), ...server.settings.map(number), toggle("probabilities", false)],
        action("defaults", restore),
      ),
      group("appearance", appearance(), action("shortcuts", showShortcuts)),
      group("data", [
        switchField("titles", true, wantsTitles(), (value) => chooseTitles(value ?? true)),
        switchField("summaries", true, wantsSummaries(), (value) => chooseSummaries(value ?? true)),
        make("p", { class: "hint" }, text("conversations_place", { address: location.origin })),
        make(
          "div",
          { class: "row" },
          action("export_json", data.exportAll),
          action("import", data.choose),
          action("delete_all", data.deleteAll, "text-button danger"),
          server.login && logOutLink(),
        ),
      ]),
    );
  }

  const action = (key, act, own = "text-button") =>
    make("button", { type: "button", class: own, onclick: act }, text(key));

  /**
   * @param {string} name
   * @param {Child[]} content
   * @param {Child} [beside] in the line of the heading
   */
  const group = (name, content, beside = null) =>
    make(
      "section",
      { class: `group ${name}` },
      make("div", { class: "group-head" }, make("h3", {}, text(`group_${name}`)), beside),
      ...content,
    );

  const number = (described) => numberField(described, setting(described.name), (value) => set(described.name, value));
  const toggle = (name, usual) => switchField(name, usual, setting(name), (value) => set(name, value));

  function promptField() {
    const usual = chooser.model().system_prompt ?? "";
    const box = make("textarea", { dir: "auto", rows: 2 });
    box.value = String(setting("system_prompt") ?? usual);
    const use = () => {
      prompt.classList.toggle("changed", box.value !== usual);
      return set("system_prompt", box.value === usual ? null : box.value);
    };
    box.addEventListener("input", use);
    const restore = () => {
      box.value = usual;
      use();
      box.focus();
    };
    const prompt = field("system_prompt", box, { class: "tall", restore });
    prompt.classList.toggle("changed", box.value !== usual);
    return prompt;
  }

  // Where the model's template has the switches.
  function thinkingFields() {
    const { thinking, effort } = chooser.model();
    const efforts = make("select", {}, [
      make("option", { value: "" }, text("by_model")),
      ...["low", "medium", "high"].map((effortName) =>
        make("option", { value: effortName, selected: setting("effort") === effortName }, text(`effort_${effortName}`)),
      ),
    ]);
    efforts.addEventListener("change", () => set("effort", efforts.value || null));
    return [
      ...(thinking ? [toggle("thinking", true)] : []),
      ...(effort ? [field("effort", efforts)] : []),
      ...(thinking || effort ? [number(BUDGET)] : []),
    ];
  }

  function modelFields() {
    const [name, precision, device] = chooser.key();
    const option = (value, label, selected) => make("option", { value, selected }, label);
    const models = server.models.map((choice) =>
      option(
        JSON.stringify([choice.name, choice.precision]),
        choice.title,
        choice.name === name && choice.precision === precision,
      ),
    );
    const model = make("select", {}, models);
    const where = make(
      "select",
      {},
      server.devices.map((each) => option(each, each, each === device)),
    );
    const load = () => {
      const [chosenName, chosenPrecision] = JSON.parse(model.value);
      chooser.use([chosenName, chosenPrecision, where.value]);
    };
    for (const select of [model, where]) select.addEventListener("change", load);
    return [make("div", { class: "model-fields" }, field("model", model), field("device", where)), status];
  }

  const modelActions = () =>
    make(
      "div",
      { class: "row" },
      server.get_models && action("get_model", chooser.get),
      server.models.length > 1 && action("compare", chooser.compare),
    );

  chooser.subscribe(() => {
    if (status.textContent === chooser.said) return draw();
    status.textContent = chooser.said;
    if (!chooser.loading && chooser.said) {
      build(); // another model may have other switches
      const sentence = chooser.said;
      onNextAction(() => {
        if (status.textContent !== sentence) return;
        status.textContent = "";
        chooser.quiet();
      });
    }
  });

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

  async function restore() {
    await chat.change({ settings: ofConversation(chat.conversation.settings) });
    build();
  }

  function appearance() {
    const speak = async (code) => {
      chooseLanguage(code);
      await spoken();
      build();
      below(element, `.segments input[value="${code}"]`)?.focus();
    };
    const named = (names, prefix) => names.map((name) => [name, text(`${prefix}_${name}`)]);
    return [
      segments("theme", text("theme"), named(THEMES, "theme"), chosenTheme(), chooseTheme),
      segments("size", text("text_size"), named(SIZES, "size"), chosenSize(), chooseSize),
      segments("language", text("language"), Object.entries(server.languages), currentLanguage(), speak),
    ];
  }

  return {
    element,
    hint,
    draw,
    focus: () => below(element, "select, textarea")?.focus(),
    focusInstructions: () => below(element, "textarea")?.focus(),
  };
}
