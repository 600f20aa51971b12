// What several views are made of.

import { newKey } from "../api.js";
import { dialog, h, icon, toast } from "../dom.js";
import { explain, explainField, t } from "../i18n.js";
import { isOnline, othersIn, roomName, userOf } from "../state.js";

/// How many colours the style sheet has for those without a picture.
const HUES = 8;
/// The widths in which the API has pictures.
const WIDTHS = [64, 256, 1024];
/// How wide they are shown, by the class.
const SHOWN = { "": "44px", large: "88px" };

/// A person's picture, or their initial on a colour of their own. The name always stands beside it.
export function avatar(user, { size = "", presence = false } = {}) {
  const name = user?.display_name || user?.username || "?";
  const initial = () => h("span", { class: `hue-${hue(user?.id ?? name)}` }, [...name][0].toUpperCase());
  const url = user?.profile_image_url;
  const inner = url ? h("img", {
    src: url, srcset: WIDTHS.map((width) => `${url}&size=${width} ${width}w`).join(", "), sizes: SHOWN[size],
    alt: "", decoding: "async", onerror: (event) => event.target.replaceWith(initial()),
  }) : initial();
  const dot = presence && isOnline(user?.id) && h("i", { class: "dot", role: "img", "aria-label": t("online"), title: t("online") });
  return h("span", { class: `avatar ${size}` }, inner, dot);
}

/// A room's picture: the other one's, or a group's sign.
export function roomAvatar(room, options) {
  const others = othersIn(room);
  if (room.room_type === "direct" && others.length === 1) {
    const [other] = others;
    return avatar(userOf(other.user_id) ?? { id: other.user_id, username: other.username }, { presence: true, ...options });
  }
  return h("span", { class: "avatar group" }, h("span", { class: `hue-${hue(room.id)}` }, icon("people")));
}

function hue(id) {
  let sum = 0;
  for (const character of id) sum = (sum * 31 + character.codePointAt(0)) % 9973;
  return sum % HUES;
}

export const titleOf = (room) => roomName(room, t(room.room_type === "direct" ? "deleted_user" : "you"));

/// The parts of a person that a row shows: when one of them changes, the row is made anew.
export const personParts = (user) => [user?.display_name, user?.username, user?.profile_image_url, isOnline(user?.id)];

/// A labelled field, with a hint and a place for what is wrong with it.
export function field(label, attributes, hint = null) {
  const id = `field-${newKey()}`;
  const input = h("input", { id, ...attributes });
  const note = h("p", { id: `${id}-hint`, class: "hint" }, hint ?? "");
  if (hint) input.setAttribute("aria-describedby", note.id);
  const element = h("div", { class: "field" }, h("label", { for: id }, label), input, note);
  const refuse = (text) => {
    note.textContent = text ?? hint ?? "";
    note.classList.toggle("wrong", text !== null);
    if (text === null) input.removeAttribute("aria-invalid");
    else input.setAttribute("aria-invalid", "true");
    if (text !== null || hint) input.setAttribute("aria-describedby", note.id);
  };
  return { element, input, refuse };
}

/// A form: fields by their names in the API, and what `send`s their values. What is wrong with a field is told beside it; `codes` says
/// which one a refusal is about that names none. Everything else is told in a toast.
export function form({ fields, button, codes = {}, send, before = null }) {
  const onsubmit = async (event) => {
    event.preventDefault();
    for (const one of Object.values(fields)) one.refuse(null);
    const empty = Object.entries(fields).filter(([, one]) => one.input.required && one.input.value.trim() === "");
    const wrong = empty.map(([name]) => [name, t("invalid_missing")]);
    if (wrong.length === 0) {
      await attempt(async () => {
        const values = Object.fromEntries(Object.entries(fields).map(([name, one]) => [name, one.input.value]));
        await send(values).catch((problem) => {
          for (const error of problem.errors ?? []) if (error.field in fields) wrong.push([error.field, explainField(error)]);
          if (problem.code in codes) wrong.push([codes[problem.code], explain(problem)]);
          if (wrong.length === 0) throw problem;
        });
      }, button);
    }
    for (const [name, text] of wrong) fields[name].refuse(text);
    if (wrong.length > 0) fields[wrong[0][0]].input.focus();
  };
  return h("form", { onsubmit, novalidate: true }, before, Object.values(fields).map((one) => one.element), button);
}

/// For whoever fills in passwords: whose they are.
export const whose = (username) =>
  h("input", { type: "text", name: "username", autocomplete: "username", value: username, readonly: true, hidden: true });

/// A button that does something on the server: it cannot be pressed twice, and what goes wrong is told.
export function actionButton(label, action, attributes = {}) {
  const button = h("button", { type: "button", ...attributes }, label);
  button.addEventListener("click", () => attempt(action, button));
  return button;
}

/// Does something on the server and tells what goes wrong. Gives whether it went well.
export async function attempt(action, button = null) {
  button?.setAttribute("aria-disabled", "true");
  if (button?.busy) return false;
  if (button) button.busy = true;
  try {
    await action();
    return true;
  } catch (problem) {
    toast(explain(problem));
    return false;
  } finally {
    if (button) button.busy = false;
    button?.removeAttribute("aria-disabled");
  }
}

/// Asks before something that cannot be undone.
export function confirmed(question, yes) {
  return new Promise((decide) => {
    const agree = h("button", { type: "button", class: "danger" }, yes);
    const refuse = h("button", { type: "button" }, t("cancel"));
    const content = h("div", { class: "dialog-body" }, h("p", {}, question), h("div", { class: "buttons" }, refuse, agree));
    const box = dialog(yes, t("close"), content, () => decide(false));
    agree.addEventListener("click", () => {
      decide(true);
      box.close();
    });
    refuse.addEventListener("click", () => box.close());
  });
}

/// A switch for one thing. It goes back where the server does not take it.
export function toggle(label, checked, change, focus = "toggle") {
  const box = h("input", { type: "checkbox", role: "switch", "data-focus": focus, onchange: async () => {
    if (!(await attempt(() => change(box.checked)))) box.checked = !box.checked;
  } });
  box.checked = checked;
  return h("label", { class: "toggle" }, h("span", {}, label), box);
}

/// A choice of one among few, as radio buttons.
export function choice(legend, options, current, choose) {
  const name = `choice-${newKey()}`;
  const radios = Object.entries(options).map(([value, label]) =>
    h("label", {}, h("input", { type: "radio", name, value, checked: value === current, onchange: () => choose(value) }), h("span", {}, label)));
  return h("fieldset", { class: "choice" }, h("legend", {}, legend), h("div", {}, radios));
}
