// A room: its messages, and the place to write one.

import * as actions from "../actions.js";
import { h, icon, iconButton, keyed, setText } from "../dom.js";
import { clockTime, currentLanguage, day, shortTime, t } from "../i18n.js";
import { isMuted, isOnline, nameOf, othersIn, state, userOf } from "../state.js";
import { mutedSign } from "./chats.js";
import { composer } from "./composer.js";
import { messageRow } from "./message.js";
import { attempt, roomAvatar, titleOf } from "./parts.js";
import { roomDetails } from "./details.js";

/// Messages of one author within this time stand together.
const TOGETHER_MS = 5 * 60_000;
/// So near to the end counts as being there.
const AT_END_PX = 60;
/// So near to the beginning, older messages are fetched.
const NEAR_START_PX = 300;

export function room(roomId) {
  const heading = h("h2", { id: "room-name" });
  const muted = h("span", { class: "sign-of" }, mutedSign());
  const about = h("p", { class: "about" });
  const picture = h("span", {});
  const older = h("button", { type: "button", class: "plain older", onclick: () => attempt(() => actions.fetchOlder(roomId)) }, t("older"));
  const list = h("ol", { class: "messages", onkeydown: onListKey, onfocusin: onListFocus });
  const nothing = h("p", { class: "nothing" }, t("no_messages"));
  const typing = h("p", { class: "typing" });
  const scroller = h("div", { class: "scroller", onscroll: onScroll }, older, nothing, list, typing);
  const jump = iconButton("down", t("jump_to_newest"), toNewest, { class: "icon-button jump" });
  const write = composer(roomId, { toNewest });
  const element = h(
    "section", { class: "room", "aria-labelledby": heading.id },
    h("header", {},
      h("a", { href: "#/chats", class: "icon-button back", "aria-label": t("back"), title: t("back") }, icon("back")),
      picture, h("div", { class: "room-title" }, h("div", {}, heading, muted), about),
      iconButton("info", t("room_details"), () => state.rooms.has(roomId) && roomDetails(roomId))),
    scroller, jump, write.element,
  );

  let atEnd = true;
  let sought = null;
  let current = null;

  function update() {
    const known = state.rooms.get(roomId);
    element.classList.toggle("missing", !known);
    if (!known) {
      setText(heading, "");
      setText(nothing, state.loaded ? t("nothing_found") : t("connecting"));
      nothing.hidden = false;
      older.hidden = jump.hidden = true;
      keyed(list, [], null);
      write.update(null);
      return;
    }
    const window = state.windows.get(roomId);
    if (!window && state.loaded && sought === null) load();
    setText(heading, titleOf(known));
    setText(about, aboutOf(known));
    muted.hidden = !isMuted(roomId);
    keyed(picture, [{ key: "", parts: pictureParts(known), room: known }], () => roomAvatar(known));
    list.setAttribute("aria-label", t("messages_in", { room: titleOf(known) }));
    older.hidden = !window?.older;
    const rows = rowsOf(known, window);
    nothing.hidden = !window || rows.length > 0;
    setText(nothing, t("no_messages"));
    const anchor = atEnd ? null : firstVisible();
    keyed(list, rows, (row) => (row.day ? h("li", { class: "day" }, h("span", {}, day(row.day))) : messageRow(row, write, goTo)));
    setText(typing, typingText());
    keepRoving();
    if (atEnd && !window?.newer) scroller.scrollTop = scroller.scrollHeight;
    else if (anchor) keepInPlace(anchor);
    jump.hidden = atEnd && !window?.newer;
    jump.classList.toggle("news", known.unread_count > 0);
    write.update(known);
    if (window && atEnd && document.visibilityState === "visible") actions.markRead(roomId);
  }

  function load() {
    attempt(() => actions.fetchNewest(roomId));
  }

  // ---- rows

  function rowsOf(known, window) {
    const rows = [];
    const items = window?.items ?? [];
    const marks = marksOf(known, items);
    let before = null;
    for (const message of items) {
      const date = new Date(message.created_at);
      const isNewDay = !before || new Date(before.created_at).toDateString() !== date.toDateString();
      if (isNewDay) rows.push({ key: date.toDateString(), parts: [currentLanguage()], day: message.created_at });
      const joined = !isNewDay && before.user_id === message.user_id && date - new Date(before.created_at) < TOGETHER_MS;
      const quoted = message.reply_to && !message.deleted ? actions.quotedMessage(roomId, message.reply_to) : null;
      const mine = message.user_id === state.me.id;
      const mark = marks.get(message.seq) ?? "";
      rows.push({
        // An own message keeps its place when it turns from one that is being sent into one that has arrived.
        key: mine && message.client_message_id ? message.client_message_id : message.id,
        parts: [message, joined, quoted, mark, userOf(message.user_id), known.room_type, known.owner_id, currentLanguage()],
        message, joined, quoted, mark, mine, isGroup: known.room_type === "group", mayDelete: mine || known.owner_id === state.me.id,
      });
      before = message;
    }
    if (window?.newer) return withTimes(rows);
    for (const entry of state.outbox.filter((waiting) => waiting.roomId === roomId)) {
      rows.push({
        key: entry.id, parts: [entry.state, entry.detail, entry.limited, currentLanguage()], mine: true, joined: before?.user_id === state.me.id, entry,
        message: { content: entry.content, created_at: entry.createdAt, user_id: state.me.id, reply_to: entry.replyTo, reactions: [], room_id: roomId },
        quoted: entry.replyTo ? actions.quotedMessage(roomId, entry.replyTo) : null, mark: "",
      });
    }
    return withTimes(rows);
  }

  /// Of messages that stand together and were said in the same minute, the last one shows when.
  function withTimes(rows) {
    rows.forEach((row, at) => {
      if (row.day) return;
      const next = rows[at + 1];
      row.timed = !next?.joined || clockTime(next.message.created_at) !== clockTime(row.message.created_at);
      row.parts.push(row.timed);
    });
    return rows;
  }

  /// What stands below own messages: at the newest, that it was sent; at the newest that somebody has read, by how many.
  function marksOf(known, items) {
    const marks = new Map();
    const own = items.filter((message) => message.user_id === state.me.id && !message.deleted);
    if (own.length === 0) return marks;
    marks.set(own.at(-1).seq, t("sent"));
    const reads = state.reads.get(roomId) ?? new Map();
    const positions = othersIn(known).map((other) => reads.get(other.user_id) ?? 0);
    const read = own.findLast((message) => positions.some((position) => position >= message.seq));
    if (!read) return marks;
    const count = positions.filter((position) => position >= read.seq).length;
    marks.set(read.seq, known.room_type === "group" ? t("read_by", { count }) : t("read"));
    return marks;
  }

  const pictureParts = (known) => othersIn(known).flatMap((other) => [userOf(other.user_id), isOnline(other.user_id), currentLanguage()]);

  function aboutOf(known) {
    if (known.room_type === "group") return t("members", { count: known.participants.length });
    const [other] = othersIn(known);
    const presence = other && state.presence.get(other.user_id);
    if (!presence) return other ? `@${other.username}` : "";
    if (presence.online) return t("online");
    return presence.last_seen_at ? t("last_seen", { time: shortTime(presence.last_seen_at) }) : t("offline");
  }

  function typingText() {
    const writers = [...(state.typing.get(roomId) ?? new Map())].map(([id, { username }]) => nameOf(id, username));
    if (writers.length === 0) return "";
    return t(writers.length === 1 ? "typing_one" : "typing_many", { names: writers.join(", ") });
  }

  // ---- scrolling

  function onScroll() {
    atEnd = scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < AT_END_PX;
    const window = state.windows.get(roomId);
    if (window?.older && scroller.scrollTop < NEAR_START_PX) actions.fetchOlder(roomId).catch(() => {});
    if (window?.newer && atEnd) actions.fetchNewer(roomId).catch(() => {});
    jump.hidden = atEnd && !window?.newer;
    if (atEnd && document.visibilityState === "visible") actions.markRead(roomId);
  }

  function firstVisible() {
    const top = scroller.getBoundingClientRect().top;
    const first = [...list.children].find((row) => row.getBoundingClientRect().bottom > top && row.dataset.seq);
    return first && { seq: first.dataset.seq, top: first.getBoundingClientRect().top };
  }

  /// After older messages came in above, those that were in view are where they were.
  function keepInPlace(anchor) {
    const row = list.querySelector(`[data-seq="${anchor.seq}"]`);
    if (row) scroller.scrollTop += row.getBoundingClientRect().top - anchor.top;
  }

  async function toNewest() {
    atEnd = true;
    if (state.windows.get(roomId)?.newer) await attempt(() => actions.fetchNewest(roomId));
    scroller.scrollTop = scroller.scrollHeight;
    update();
  }

  /// Shows a certain message, and puts the focus on it.
  async function goTo(seq) {
    sought = seq;
    atEnd = false;
    const has = () => list.querySelector(`[data-seq="${seq}"]`);
    if (!has()) await attempt(() => actions.fetchAround(roomId, seq));
    sought = null;
    update();
    const row = has();
    if (!row) return;
    row.scrollIntoView({ block: "center" });
    row.focus({ preventScroll: true });
    row.classList.add("found");
    row.addEventListener("animationend", () => row.classList.remove("found"), { once: true });
  }

  // ---- keyboard: one message at a time can be reached by Tab, the arrows move among them, and Tab goes on to what can be done with it

  const messages = () => [...list.querySelectorAll(".message")];

  function keepRoving() {
    const rows = messages();
    if (!rows.includes(current)) current = rows.at(-1) ?? null;
    for (const row of rows) row.tabIndex = row === current ? 0 : -1;
  }

  function onListFocus(event) {
    const row = event.target.closest(".message");
    if (!row || row === current) return;
    current = row;
    keepRoving();
  }

  function onListKey(event) {
    const steps = { ArrowUp: -1, ArrowDown: 1, Home: -Infinity, End: Infinity };
    if (!(event.key in steps) || !event.target.classList.contains("message")) return;
    event.preventDefault();
    const rows = messages();
    const at = Math.min(rows.length - 1, Math.max(0, rows.indexOf(event.target) + steps[event.key]));
    if (at === 0) actions.fetchOlder(roomId).catch(() => {});
    rows[at].focus();
  }

  function route() {
    const at = /[?&]at=(\d+)/.exec(location.hash)?.[1];
    if (at) goTo(Number(at));
  }

  return { element, update, route, focus: () => write.focus() };
}
