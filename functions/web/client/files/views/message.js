// One message, and what can be done with it.

import * as actions from "../actions.js";
import { dialog, h, iconButton } from "../dom.js";
import { clockTime, dayAndTime, t } from "../i18n.js";
import { nameIn, nameOf, state, userOf } from "../state.js";
import { attempt, avatar, confirmed } from "./parts.js";

const EMOJIS = ["👍", "❤️", "😂", "😮", "😢", "🎉", "🙏", "👀"];

/// A row of the list: `{ message, entry?, joined, quoted, mark, mine, isGroup, mayDelete, timed }`; `entry` is that of the outbox, while the message is on
/// its way.
export function messageRow({ message, entry, joined, quoted, mark, mine, isGroup, mayDelete, timed }, composer, goTo) {
  const name = nameOf(message.user_id, message.username);
  const time = h("time", { datetime: message.created_at, class: timed ? null : "unseen" }, clockTime(message.created_at));
  const body = h("div", { class: "body" },
    h("p", { class: !mine && isGroup && !joined ? "author" : "unseen" }, mine ? t("you") : name),
    h("div", { class: "line" },
      bubble(message, quoted, goTo),
      h("span", { class: "meta" }, message.edited_at && !message.deleted && editedButton(message), time),
      !entry && !message.deleted && tools(message, mine, mayDelete, composer)),
    reactions(message),
    entry ? pending(entry) : mark && h("p", { class: "mark" }, mark));
  const kind = ["message", mine && "mine", joined && "joined", entry && entry.state, message.deleted && "deleted"].filter(Boolean).join(" ");
  return h("li", { class: kind, tabindex: "-1", "data-seq": message.seq },
    !mine && (joined ? h("span", { class: "avatar" }) : avatar(userOf(message.user_id) ?? { id: message.user_id, username: message.username })), body);
}

function bubble(message, quoted, goTo) {
  if (message.deleted) return h("div", { class: "bubble" }, h("p", {}, t("deleted_message")));
  const quote = quoted && h("button", { type: "button", class: "quote", onclick: () => goTo(quoted.seq) },
    h("b", {}, nameOf(quoted.user_id, quoted.username)), h("span", {}, quoted.content ?? t("deleted_message")));
  return h("div", { class: "bubble" }, quote, content(message));
}

/// What was said. Pictures and files are addresses that others chose: they are links, and nothing is loaded from them by itself.
function content({ content: text, message_type }) {
  if (message_type === "image" || message_type === "file") {
    const url = URL.canParse(text) ? new URL(text) : null;
    if (url && ["http:", "https:"].includes(url.protocol)) {
      return h("p", {}, h("a", { href: url.href, target: "_blank", rel: "noopener noreferrer" }, text));
    }
  }
  return h("p", {}, text);
}

const editedButton = (message) => h("button", {
  type: "button", class: "plain link", "data-focus": "edited", "aria-label": t("edited_show"), title: t("history"),
  onclick: () => attempt(async () => history(await actions.messageWithEdits(message))),
}, t("edited"));

/// What a message said before, and since when; the newest last.
function history(message) {
  const versions = [...message.edits.map((edit) => edit.content), message.content];
  const since = [message.created_at, ...message.edits.map((edit) => edit.replaced_at)];
  dialog(t("history"), t("close"), h("ol", { class: "dialog-body history", tabindex: "0" }, versions.map((text, at) => h("li", {},
    h("p", { class: "hint" }, h("time", { datetime: since[at] }, dayAndTime(since[at])), at === versions.length - 1 && ` · ${t("history_now")}`),
    h("p", {}, text)))));
}

function pending(entry) {
  if (entry.state !== "failed") return h("p", { class: "mark" }, entry.state === "waiting" ? t(entry.limited ? "waiting_for_turn" : "waiting_to_send") : t("sending"));
  return h("p", { class: "mark wrong" }, t("unsent", { detail: entry.detail }),
    h("button", { type: "button", class: "plain link", onclick: () => actions.resend(entry.id) }, t("retry")),
    h("button", { type: "button", class: "plain link", onclick: () => actions.discard(entry.id) }, t("discard")));
}

function reactions(message) {
  if (message.reactions.length === 0) return null;
  return h("ul", { class: "reactions" }, message.reactions.map(({ emoji, user_ids }) => h("li", {},
    h("button", {
      type: "button", "aria-pressed": String(user_ids.includes(state.me.id)),
      "data-focus": `reaction-${emoji}`, title: user_ids.map((id) => nameIn(message.room_id, id)).join(", "), onclick: () => attempt(() => actions.react(message, emoji)),
    }, emoji, " ", h("span", {}, user_ids.length), h("span", { class: "unseen" }, ` ${t("reacted", { count: user_ids.length })}`)))));
}

/// The buttons that come out when a message is pointed at or has the focus.
function tools(message, mine, mayDelete, composer) {
  const group = h("div", { class: "tools", role: "group", "aria-label": t("message_actions") });
  const usual = () => [
    iconButton("smile", t("react"), () => turnTo(emojis()), { "data-focus": "react" }),
    iconButton("reply", t("reply"), () => composer.reply(message)),
    mine && message.message_type === "text" && iconButton("edit", t("edit"), () => composer.edit(message), { "data-focus": "edit" }),
    mayDelete && iconButton("trash", t("delete"), remove),
  ].filter(Boolean);
  const emojis = () => EMOJIS.map((emoji) => h("button", {
    type: "button", class: "icon-button", "aria-label": t("react_with", { emoji }), "data-focus": `react-${emoji}`,
    onclick: () => { turnTo(usual()); attempt(() => actions.react(message, emoji)); },
  }, emoji));
  /// The new ones have the focus before the old ones go: were it nowhere in between, all of them would be hidden.
  function turnTo(buttons) {
    const old = [...group.children];
    group.append(...buttons);
    buttons[0].focus();
    for (const button of old) button.remove();
  }
  async function remove() {
    if (await confirmed(t("confirm_delete_message"), t("delete"))) attempt(() => actions.remove(message));
  }
  group.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    group.closest(".message").focus();
    group.replaceChildren(...usual());
  });
  group.append(...usual());
  return group;
}
