// Friends, requests, and the way to find people.

import * as actions from "../actions.js";
import { announce, h, keyed, toast } from "../dom.js";
import { currentLanguage, shortTime, t } from "../i18n.js";
import { isOnline, nameOf, state, userOf } from "../state.js";
import { actionButton, attempt, avatar, confirmed, personParts } from "./parts.js";

const SEARCH_AFTER_MS = 300;
const SEARCH_LENGTH_MIN = 2;

export function people() {
  const heading = h("h2", { tabindex: "-1" }, t("people"));
  const search = h("input", { type: "search", id: "find", autocapitalize: "none", spellcheck: "false", autocomplete: "off", "aria-describedby": "find-hint", oninput: onInput });
  const sections = {
    found: group(t("found")), incoming: group(t("incoming")), friends: group(t("friends")), outgoing: group(t("outgoing")), blocked: group(t("blocked")),
  };
  const nothingFound = h("p", { class: "nothing", hidden: true }, t("nothing_found"));
  const noFriends = h("p", { class: "nothing", hidden: true }, t("no_friends"));
  sections.found.element.append(nothingFound);
  sections.friends.element.append(noFriends);
  const element = h("div", { class: "page" }, h("header", {}, heading),
    h("form", { class: "search", role: "search", onsubmit: (event) => { event.preventDefault(); find(); } },
      h("label", { for: "find" }, t("find_people")), search, h("p", { id: "find-hint", class: "hint" }, t("find_people_hint"))),
    Object.values(sections).map((section) => section.element));
  let found = null;
  let timer = null;

  function onInput() {
    clearTimeout(timer);
    timer = setTimeout(find, SEARCH_AFTER_MS);
  }

  function find() {
    clearTimeout(timer);
    const words = search.value.trim();
    if ([...words].length < SEARCH_LENGTH_MIN) {
      found = null;
      update();
      return;
    }
    attempt(async () => {
      const users = await actions.searchPeople(words);
      if (words !== search.value.trim()) return;
      found = users.map((user) => user.id).filter((id) => id !== state.me.id);
      if (found.length === 0) announce(t("nothing_found"));
      update();
    });
  }

  function update() {
    const { incoming, outgoing, friends, blocked } = state;
    show(sections.found, (found ?? []).map((id) => ({ id, buttons: foundButtons })), found !== null);
    nothingFound.hidden = found?.length !== 0;
    show(sections.incoming, incoming.map((request) => ({ id: request.requester_id, request, buttons: incomingButtons })));
    show(sections.friends, sorted(friends).map((friend) => ({ id: friend.id, buttons: friendButtons })), true);
    noFriends.hidden = friends.size > 0 || !state.loaded;
    show(sections.outgoing, (outgoing ?? []).map((request) => ({ id: request.addressee_id, request, buttons: outgoingButtons })));
    show(sections.blocked, (blocked ?? []).map((id) => ({ id, buttons: blockedButtons })));
  }

  attempt(actions.loadPeople);
  return { element, update, focus: () => heading.focus() };
}

/// Those who are there first, then by name.
const sorted = (friends) => [...friends.values()].sort((a, b) =>
  Number(isOnline(b.id)) - Number(isOnline(a.id)) || a.display_name.localeCompare(b.display_name, currentLanguage()));

function group(title) {
  const heading = h("h3", {}, title);
  const list = h("ul", { class: "people", "aria-label": title });
  return { element: h("section", {}, heading, list), list, heading };
}

function show({ element, list }, rows, always = false) {
  element.hidden = !always && rows.length === 0;
  keyed(list, rows.map((row) => ({
    key: row.id,
    parts: [...personParts(userOf(row.id)), relation(row.id), row.request?.id, state.presence.get(row.id), currentLanguage()],
    row,
  })), ({ row }) => person(row));
}

function person({ id, request, buttons }) {
  const user = userOf(id) ?? { id };
  const presence = state.friends.has(id) ? presenceText(id) : null;
  return h("li", { class: "person" }, avatar(user, { presence: true }),
    h("span", { class: "who" }, h("b", {}, nameOf(id, user.username)), h("small", {}, user.username ? `@${user.username}` : "", presence && ` · ${presence}`)),
    h("span", { class: "buttons" }, buttons(id, request)));
}

function presenceText(id) {
  const presence = state.presence.get(id);
  if (presence?.online) return t("online");
  return presence?.last_seen_at ? t("last_seen", { time: shortTime(presence.last_seen_at) }) : t("offline");
}

/// How the caller stands to somebody.
function relation(id) {
  if (state.friends.has(id)) return "friend";
  if (state.blocked?.includes(id)) return "blocked";
  if (state.outgoing?.some((request) => request.addressee_id === id)) return "asked";
  if (state.incoming.some((request) => request.requester_id === id)) return "asks";
  return "none";
}

const messageButton = (id) => actionButton(t("message"), async () => {
  location.hash = `#/chats/${(await actions.createRoom([id], "")).id}`;
}, { class: "primary", "aria-label": t("message_person", { name: nameOf(id) }), "data-focus": "message" });

const blockButton = (id) => actionButton(t("block"), async () => {
  if (await confirmed(t("confirm_block", { name: nameOf(id) }), t("block"))) await actions.block(id);
}, { class: "plain", "data-focus": "block" });

function foundButtons(id) {
  const standing = relation(id);
  if (standing === "friend") return messageButton(id);
  if (standing === "asked") return outgoingButtons(id, state.outgoing.find((request) => request.addressee_id === id));
  if (standing === "asks") return incomingButtons(id, state.incoming.find((request) => request.requester_id === id));
  if (standing === "blocked") return blockedButtons(id);
  return [actionButton(t("add_friend"), async () => {
    await actions.befriend(id);
    toast(t("request_sent", { name: nameOf(id) }));
  }, { class: "primary", "data-focus": "add" }), blockButton(id)];
}

const incomingButtons = (_, request) => [
  actionButton(t("accept"), () => actions.accept(request.id), { class: "primary", "data-focus": "accept" }),
  actionButton(t("reject"), () => actions.reject(request.id), { "data-focus": "reject" }),
];

const outgoingButtons = (_, request) => actionButton(t("cancel_request"), () => actions.cancel(request.id), { "data-focus": "cancel" });

const friendButtons = (id) => [
  messageButton(id),
  actionButton(t("remove_friend"), async () => {
    if (await confirmed(t("confirm_unfriend", { name: nameOf(id) }), t("remove_friend"))) await actions.unfriend(id);
  }, { class: "plain", "data-focus": "remove" }),
  blockButton(id),
];

const blockedButtons = (id) => actionButton(t("unblock"), () => actions.unblock(id), { "data-focus": "unblock" });
