// Where a message is written: a new one, an answer to another, or a new version of one's own.

import * as actions from "../actions.js";
import { h, icon, iconButton, keyed } from "../dom.js";
import { currentLanguage, t } from "../i18n.js";
import { nameOf, state } from "../state.js";
import { attempt } from "./parts.js";

const CONTENT_LENGTH_MAX = 4_000;

/// What was begun in each room and not sent.
const drafts = new Map();

export function composer(roomId, { toNewest }) {
  const input = h("textarea", {
    rows: "1", maxlength: CONTENT_LENGTH_MAX, "aria-label": t("message_placeholder"), placeholder: t("message_placeholder"),
    onkeydown: onKey, oninput: onInput,
  });
  const button = h("button", { type: "submit", class: "icon-button send", "aria-label": t("send"), title: t("send") }, icon("send"));
  const above = h("div", { class: "above" });
  const element = h("form", { class: "composer", onsubmit }, above, h("div", { class: "composer-line" }, input, button));
  /// What the text is for: `{ message, edits }`, or null for a new message.
  let about = null;

  write(drafts.get(roomId) ?? "");

  function write(text) {
    input.value = text;
    fit();
  }

  function fit() {
    input.style.height = "auto";
    if (input.value !== "") input.style.height = `${input.scrollHeight}px`;
  }

  function turnTo(next) {
    about = next;
    const row = about && { key: `${about.edits}-${about.message.id}`, parts: [currentLanguage()] };
    keyed(above, row ? [row] : [], () => h("div", {}, icon(about.edits ? "edit" : "reply"),
      h("p", {}, h("b", {}, about.edits ? t("editing") : t("replying_to", { name: nameOf(about.message.user_id, about.message.username) })),
        h("span", {}, about.message.content)),
      iconButton("close", t("cancel"), leave)));
    input.focus();
  }

  function leave() {
    if (about?.edits) write("");
    turnTo(null);
  }

  function edit(message) {
    turnTo({ message, edits: true });
    write(message.content);
    input.setSelectionRange(input.value.length, input.value.length);
  }

  async function onsubmit(event) {
    event.preventDefault();
    const text = input.value.trim();
    if (text === "") return;
    const { message, edits } = about ?? {};
    write("");
    drafts.delete(roomId);
    turnTo(null);
    if (!edits) {
      actions.send(roomId, text, message?.id ?? null);
      toNewest();
    } else if (text !== message.content && !(await attempt(() => actions.edit(message, text)))) {
      edit(message);
      write(text);
    }
  }

  function onKey(event) {
    // While a syllable is being put together (Korean, Japanese, Chinese), Enter belongs to the input method.
    if (event.isComposing) return;
    if (event.key === "Enter" && !event.shiftKey) {
      event.preventDefault();
      element.requestSubmit();
    } else if (event.key === "Escape" && about) {
      event.stopPropagation();
      leave();
    } else if (event.key === "ArrowUp" && input.value === "" && !about) {
      const own = state.windows.get(roomId)?.items.findLast((message) =>
        message.user_id === state.me.id && !message.deleted && message.message_type === "text");
      if (own) {
        event.preventDefault();
        edit(own);
      }
    }
  }

  function onInput() {
    fit();
    if (about?.edits) return;
    drafts.set(roomId, input.value);
    if (input.value !== "") actions.sayTyping(roomId);
  }

  function update(room) {
    element.hidden = room === null;
    if (about && !state.windows.get(roomId)?.items.some((item) => item.id === about.message.id && !item.deleted)) leave();
  }

  return { element, update, edit, reply: (message) => turnTo({ message, edits: false }), focus() { input.focus(); fit(); } };
}
