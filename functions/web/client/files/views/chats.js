// The rooms by last activity, a search over them and their messages, and the way to a new one.

import * as actions from "../actions.js";
import { dialog, fill, h, icon, iconButton, keyed } from "../dom.js";
import { currentLanguage, shortTime, t } from "../i18n.js";
import { isMuted, isOnline, nameIn, nameOf, othersIn, roomsByActivity, state, userOf } from "../state.js";
import { attempt, avatar, field, roomAvatar, titleOf } from "./parts.js";

const SEARCH_AFTER_MS = 250;
const SEARCH_LENGTH_MIN = 2;

export function chatList() {
  const list = h("ul", { class: "rooms" });
  const found = h("div", { class: "found" });
  const nothing = h("p", { class: "nothing" }, t("no_chats"));
  const search = h("input", { type: "search", "aria-label": t("search_messages"), placeholder: t("search_messages"), oninput: onSearch });
  const heading = h("h2", { tabindex: "-1" }, t("chats"));
  const element = h(
    "section", { class: "list", "aria-label": t("chats") },
    h("header", {}, heading, iconButton("plus", t("new_chat"), () => newChat())),
    h("div", { class: "search", role: "search" }, search),
    nothing, found, list,
  );
  let timer = null;

  function onSearch() {
    clearTimeout(timer);
    timer = setTimeout(find, SEARCH_AFTER_MS);
    update();
  }

  const words = () => search.value.trim();

  async function find() {
    const sought = words();
    // A single Korean syllable is enough, as for the API.
    if ([...sought].length < SEARCH_LENGTH_MIN && !/[^\0-\u02ff]/.test(sought)) {
      fill(found);
      return;
    }
    const page = await actions.searchMessages(sought).catch(() => null);
    if (sought !== words() || page === null) return;
    const hits = page.items.filter((message) => state.rooms.has(message.room_id));
    fill(found, h("h3", {}, t("messages")),
      hits.length === 0 ? h("p", { class: "nothing" }, t("nothing_found")) : h("ul", {}, hits.map(hit)));
  }

  const hit = (message) => h("li", {},
    h("a", { href: `#/chats/${message.room_id}?at=${message.seq}` },
      h("span", { class: "row-title" }, titleOf(state.rooms.get(message.room_id)), h("time", { datetime: message.created_at }, shortTime(message.created_at))),
      h("span", { class: "row-text" }, `${nameOf(message.user_id, message.username)}: ${message.content ?? ""}`)));

  function update() {
    const open = actions.openRoomId();
    const sought = words().toLowerCase();
    const rooms = roomsByActivity().filter((room) => titleOf(room).toLowerCase().includes(sought));
    nothing.hidden = rooms.length > 0 || !state.loaded || sought !== "";
    const row = (room) => ({
      key: room.id,
      parts: [titleOf(room), room.last_message, room.unread_count, isMuted(room.id), room.id === open, isTyping(room), currentLanguage(), nameOf(room.last_message?.user_id, room.last_message?.username),
        ...othersIn(room).flatMap((other) => [userOf(other.user_id)?.profile_image_url, isOnline(other.user_id)])],
      room,
    });
    keyed(list, rooms.map(row), ({ room }) => roomRow(room, room.id === open));
  }

  function focus(before) {
    const last = /^chats\/(.+)/.exec(before)?.[1];
    (list.querySelector(`a[href="#/chats/${last}"]`) ?? heading).focus();
  }

  return { element, update, focus };
}

const isTyping = (room) => (state.typing.get(room.id)?.size ?? 0) > 0;

function roomRow(room, isOpen) {
  const message = room.last_message;
  const unread = room.unread_count;
  return h("li", {},
    h("a", { href: `#/chats/${room.id}`, "aria-current": isOpen ? "page" : null, class: unread > 0 ? "unread" : null },
      roomAvatar(room),
      h("span", { class: "row-title" }, h("span", {}, titleOf(room)), isMuted(room.id) && mutedSign(),
        message && h("time", { datetime: message.created_at }, shortTime(message.created_at))),
      h("span", { class: "row-text" }, preview(room, message)),
      unread > 0 && h("span", { class: "badge" }, h("span", { "aria-hidden": "true" }, unread > 99 ? "99+" : unread), h("span", { class: "unseen" }, t("unread", { count: unread })))));
}

export const mutedSign = () => h("span", { class: "muted", title: t("muted") }, icon("mute"), h("span", { class: "unseen" }, t("muted")));

function preview(room, message) {
  if (isTyping(room)) return h("em", {}, t("typing_one", { names: [...state.typing.get(room.id).keys()].map((id) => nameIn(room.id, id)).join(", ") }));
  if (!message) return "";
  if (message.deleted) return h("em", {}, t("deleted_message"));
  const isMine = message.user_id === state.me.id;
  const who = isMine ? t("you") : room.room_type === "group" ? nameOf(message.user_id, message.username) : null;
  return who ? `${who}: ${message.content}` : message.content;
}

/// Chooses friends, for a new chat or to come into a room. `choose(ids, name)` gives the room to go to, or nothing.
export function pickFriends({ title, button, except = [], named, choose }) {
  const friends = [...state.friends.values()].filter((friend) => !except.includes(friend.id));
  const name = field(t("group_name_optional"), { maxlength: 100, autocomplete: "off" });
  const submit = h("button", { type: "submit", class: "primary" }, button);
  const boxes = friends.map((friend) => h("input", { type: "checkbox", value: friend.id, onchange: changedChoice }));
  const chosen = () => boxes.filter((box) => box.checked).map((box) => box.value);
  function changedChoice() {
    submit.disabled = chosen().length === 0;
    name.element.hidden = !named || chosen().length < 2;
  }
  const rows = friends.map((friend, i) => h("li", {}, h("label", { class: "person" }, avatar(friend, { presence: true }),
    h("span", { class: "who" }, h("b", {}, friend.display_name), h("small", {}, `@${friend.username}`)), boxes[i])));
  const onsubmit = (event) => {
    event.preventDefault();
    attempt(async () => {
      const room = await choose(chosen(), name.element.hidden ? "" : name.input.value.trim());
      box.close();
      if (room) location.hash = `#/chats/${room.id}`;
    }, submit);
  };
  const content = friends.length === 0
    ? h("div", { class: "dialog-body" }, h("p", { class: "nothing" }, t("no_friends")), h("a", { href: "#/people", onclick: () => box.close() }, t("find_people")))
    : h("form", { class: "dialog-body", onsubmit }, h("ul", { class: "people", "aria-label": t("pick_friends") }, rows), name.element, h("div", { class: "buttons" }, submit));
  changedChoice();
  const box = dialog(title, t("close"), content);
}

const newChat = () => pickFriends({ title: t("new_chat"), button: t("start_chat"), named: true, choose: actions.createRoom });
