// What happened while one was elsewhere.

import * as actions from "../actions.js";
import { h, icon, keyed } from "../dom.js";
import { currentLanguage, shortTime, t } from "../i18n.js";
import { nameOf, state, userOf } from "../state.js";
import { actionButton, attempt, avatar } from "./parts.js";

export function notifications() {
  const heading = h("h2", { tabindex: "-1" }, t("notifications"));
  const readAll = actionButton(t("read_all"), () => actions.readNotifications(null));
  const nothing = h("p", { class: "nothing" }, t("no_notifications"));
  const list = h("ul", { class: "notifications" });
  const element = h("div", { class: "page" }, h("header", {}, heading, readAll), nothing, list);

  function update() {
    const known = state.notifications ?? [];
    nothing.hidden = known.length > 0 || state.notifications === null;
    readAll.hidden = !state.unreadNotifications;
    keyed(list, known.map((notification) => ({
      key: notification.id,
      parts: [notification.read_at, nameOf(notification.data.user_id, notification.data.username), userOf(notification.data.user_id)?.profile_image_url, currentLanguage()],
      notification,
    })), ({ notification }) => row(notification));
  }

  attempt(actions.loadNotifications);
  return { element, update, focus: () => heading.focus() };
}

function row(notification) {
  const { id, kind, data, created_at, read_at } = notification;
  const text = t(`notify_${kind}`, { name: nameOf(data.user_id, data.username), preview: data.preview ?? t("deleted_message") });
  const read = () => !read_at && actions.readNotifications([id]).catch(() => {});
  return h("li", {}, h("a", { href: target(notification), class: read_at ? null : "unread", onclick: read, "data-focus": "row" },
    kind === "welcome" ? h("span", { class: "avatar" }, h("span", { class: "hue-0" }, icon("chat")))
      : avatar(userOf(data.user_id) ?? { id: data.user_id, username: data.username }),
    h("span", { class: "row-text" }, text), h("time", { datetime: created_at }, shortTime(created_at)),
    !read_at && h("i", { class: "dot", role: "img", "aria-label": t("unread", { count: 1 }) })));
}

function target({ kind, data }) {
  if (kind === "message") return `#/chats/${data.room_id}?at=${data.seq}`;
  return kind === "welcome" ? "#/settings" : "#/people";
}
