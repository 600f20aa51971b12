// What several views are made of.

import { newKey } from "../api.js";
import { dialog, h, icon, toast } from "../dom.js";
import { explain, t } from "../i18n.js";
import { isOnline, othersIn, roomName, userOf } from "../state.js";

/// How many colours the style sheet has for those without a picture.
const HUES = 8;

/// A person's picture, or their initial on a colour of their own. The name always stands beside it.
export function avatar(user, { size = "", presence = false } = {}) {
  const name = user?.display_name || user?.username || "?";
  const inner = user?.profile_image_url
    ? h("img", { src: user.profile_image_url, alt: "", loading: "lazy" })
    : h("span", { class: `hue-${hue(user?.id ?? name)}` }, [...name][0].toUpperCase());
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

export const titleOf = (room) => roomName(room, t("you"));

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

/// A choice of one among few, as radio buttons.
export function choice(legend, options, current, choose) {
  const name = `choice-${newKey()}`;
  const radios = Object.entries(options).map(([value, label]) =>
    h("label", {}, h("input", { type: "radio", name, value, checked: value === current, onchange: () => choose(value) }), h("span", {}, label)));
  return h("fieldset", { class: "choice" }, h("legend", {}, legend), h("div", {}, radios));
}
