// The frame of everything: where one can go, how the connection is, and the view that the address asks for.

import { openRoomId } from "../actions.js";
import { fill, h, icon, setText } from "../dom.js";
import { t } from "../i18n.js";
import { state, unreadMessages } from "../state.js";
import { chatList } from "./chats.js";
import { notifications } from "./notifications.js";
import { people } from "./people.js";
import { room } from "./room.js";
import { settings } from "./settings.js";

const SECTIONS = { chats: "chat", people: "people", notifications: "bell", settings: "settings" };

/// More than this is shown as "99+".
const BADGE_MAX = 99;

/// `again()` shows all of it anew, in another language; `left()` is called after logout.
export function shell({ again, left }) {
  const links = Object.fromEntries(Object.entries(SECTIONS).map(([section, sign]) => {
    const badge = h("span", { class: "badge", hidden: true });
    const told = h("span", { class: "unseen" });
    const link = h("a", { href: `#/${section}` }, h("span", { class: "sign" }, icon(sign), badge), h("span", {}, t(section)), told);
    return [section, { link, badge, told }];
  }));
  const nav = h("nav", { "aria-label": "Plaza" }, h("span", { class: "logo" }, icon("chat")),
    h("ul", {}, Object.values(links).map(({ link }) => h("li", {}, link))));
  const banner = h("p", { class: "banner", role: "status" });
  const main = h("main", { tabindex: "-1" });
  const skip = h("button", { type: "button", class: "skip", onclick: () => main.focus() }, t("skip"));
  const element = h("div", { class: "shell" }, skip, nav, banner, main);

  const list = chatList();
  let views = [];
  let shown = null;
  let wasLive = false;

  function route() {
    const section = /^#\/(\w+)/.exec(location.hash)?.[1];
    if (!(section in SECTIONS)) {
      location.replace("#/chats");
      return;
    }
    const open = section === "chats" ? openRoomId() : null;
    const place = `${section}/${open ?? ""}`;
    if (shown === place) {
      views.forEach((view) => view.route?.());
      return;
    }
    const before = shown;
    views.forEach((view) => view.gone?.());
    views = sectionViews(section, open);
    shown = place;
    element.dataset.section = section;
    element.dataset.open = open ? "room" : "";
    for (const [name, { link }] of Object.entries(links)) {
      if (name === section) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    fill(main, h("h1", { class: "unseen" }, "Plaza"), views.map((view) => view.element));
    update();
    views.forEach((view) => view.route?.());
    // Whoever goes somewhere else begins there; at the first view the page's own beginning is right.
    if (before !== null) (views.at(-1).focus ?? list.focus)(before);
  }

  function sectionViews(section, open) {
    if (section === "chats") return [list, open ? room(open) : hint()];
    return [{ people, notifications, settings }[section]({ again, left })];
  }

  function update() {
    wasLive ||= state.connection === "live";
    const isCut = wasLive && state.connection !== "live";
    banner.hidden = !isCut && !state.limited;
    setText(banner, state.limited ? t("limited") : isCut ? t("waiting") : "");
    const unread = { chats: [unreadMessages(), "unread"], notifications: [state.unreadNotifications, "unread_notifications"],
      people: [state.incoming.length, null] };
    for (const [section, [count, words]] of Object.entries(unread)) {
      const { badge, told } = links[section];
      badge.hidden = count === 0;
      setText(badge, count === 0 ? "" : count > BADGE_MAX ? `${BADGE_MAX}+` : String(count));
      badge.setAttribute("aria-hidden", "true");
      setText(told, count > 0 ? `, ${words ? t(words, { count }) : `${t("incoming")}: ${count}`}` : "");
    }
    const unreadAll = unread.chats[0];
    document.title = unreadAll > 0 ? `(${unreadAll}) Plaza` : "Plaza";
    views.forEach((view) => view.update());
  }

  return { element, update, route };
}

const hint = () => ({ element: h("section", { class: "room empty" }, icon("chat"), h("p", {}, t("chats_hint"))), update() {}, focus: null });
