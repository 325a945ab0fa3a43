// The fields of the settings. Each has its sentence as a tooltip, which the focus shows too, and a way back to the
// default where it was changed.

import { iconButton, make, text } from "../common/dom.js";
import { ICONS } from "../common/icons.js";
import { onKey } from "../common/keys.js";
import { parsedNumber, stepped } from "./numbers.js";

/** @import { NumberSetting } from "../types" */

/**
 * @param {string} name of the setting, and of its texts
 * @param {HTMLElement} control labelled by the field, with the id `set-NAME`
 * @param {object} [options]
 * @param {string} [options.class]
 * @param {HTMLElement[]} [options.beside] further controls
 * @param {() => void} [options.restore] takes the setting back to its default; without it there is no way back
 */
export function field(name, control, { class: own = "", beside = [], restore } = {}) {
  control.id = `set-${name}`;
  control.setAttribute("aria-describedby", `help-${name}`);
  const back =
    restore &&
    iconButton(ICONS.undo, text("restore_default"), restore, {
      class: "icon restore",
      "aria-describedby": `label-${name}`,
    });
  const element = make(
    "div",
    { class: `field ${own}` },
    make("label", { for: control.id, id: `label-${name}` }, text(name)),
    back,
    ...beside,
    control,
    make("p", { class: "tip", id: `help-${name}`, role: "tooltip" }, text(`${name}_info`)),
  );
  // Who reads without the mouse can send a tooltip away: WCAG 1.4.13.
  onKey(element, ({ key }) => key === "Escape" && element.classList.add("quiet"));
  for (const event of ["focusout", "pointerleave"])
    element.addEventListener(event, () => element.classList.remove("quiet"));
  return element;
}

/**
 * A number with a slider, where it has a largest value. An emptied number means the default.
 *
 * @param {NumberSetting} setting
 * @param {unknown} value undefined: the default holds
 * @param {(value: number | null) => void} set called with what was typed; null: the default
 */
export function numberField({ name, default: usual, minimum, maximum, step }, value, set) {
  const none = usual ?? "";
  const range = { minimum, maximum, step };
  // Not of the type "number": with a comma, browsers drop the sign or the whole number.
  const digits = make("input", {
    type: "text",
    inputmode: minimum < 0 ? "text" : Number.isInteger(step) ? "numeric" : "decimal",
    autocomplete: "off",
    value: value ?? none,
    placeholder: none === "" ? text("no_limit") : none,
  });
  const slider =
    maximum === null
      ? null
      : make("input", {
          type: "range",
          min: minimum,
          max: maximum,
          step,
          value: value ?? none,
          "aria-label": text("slider", { name: text(name) }),
          tabindex: -1, // the number beside it takes the arrow keys
        });
  const use = (typed) => {
    const valid = parsedNumber(typed, range);
    if (slider) slider.value = String(valid ?? none);
    const isUsual = valid === null || valid === none;
    element.classList.toggle("changed", !isUsual);
    set(isUsual ? null : valid);
    return valid ?? none;
  };
  digits.addEventListener("input", () => use(digits.value));
  digits.addEventListener("change", () => (digits.value = String(use(digits.value))));
  onKey(digits, (event) => {
    const direction = { ArrowUp: 1, ArrowDown: -1 }[event.key];
    if (!direction) return;
    event.preventDefault();
    const before = parsedNumber(digits.value, range) ?? (Number(none) || minimum);
    digits.value = String(use(String(stepped(before, direction, range))));
  });
  slider?.addEventListener("input", () => (digits.value = String(use(slider.value))));
  const restore = () => {
    digits.value = String(use(""));
    digits.focus();
  };
  const element = field(name, digits, { class: "number", beside: slider ? [slider] : [], restore });
  element.classList.toggle("changed", value !== undefined && value !== none);
  return element;
}

/**
 * @param {string} name
 * @param {boolean} usual what holds while nothing was chosen
 * @param {unknown} value undefined: the default holds
 * @param {(value: boolean | null) => void} set
 */
export function switchField(name, usual, value, set) {
  const box = make("input", { type: "checkbox", role: "switch", checked: Boolean(value ?? usual) });
  box.addEventListener("change", () => set(box.checked === usual ? null : box.checked));
  return field(name, box, { class: "switch" });
}

/**
 * One of a few, side by side.
 *
 * @param {string} name of the radio buttons
 * @param {string} legend
 * @param {[value: string, label: string][]} choices
 * @param {string} chosen
 * @param {(value: string) => void} choose
 */
export function segments(name, legend, choices, chosen, choose) {
  const choice = ([value, label]) => {
    const input = make("input", { type: "radio", name, value, checked: value === chosen });
    input.addEventListener("change", () => choose(value));
    return make("label", {}, input, make("span", {}, label));
  };
  return make("fieldset", { class: "segments" }, make("legend", {}, legend), make("div", {}, choices.map(choice)));
}
