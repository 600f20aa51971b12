// Everything that the page shows, in one place. Views read it; actions and events change it and say so with `changed()`.

import { t } from "./i18n.js";

export const state = {
  /// The own profile; null before login.
  me: null,
  /// "connecting" | "live" | "waiting": of the stream.
  connection: "connecting",
  /// Whether the first fetch is done.
  loaded: false,
  /// Whether calls wait because there were too many of them.
  limited: false,
  /// User by id: everyone whose name was looked up.
  users: new Map(),
  /// Friend by user id.
  friends: new Map(),
  /// Friend requests that wait. Those of the caller are null until somebody looks.
  incoming: [],
  outgoing: null,
  /// The ids of those whom the caller blocks; null until somebody looks.
  blocked: null,
  /// Presence by user id.
  presence: new Map(),
  /// Room by id.
  rooms: new Map(),
  /// What is loaded of a room's messages, by room id: `{ items, older, newer }`. Items are in ascending `seq` without a gap;
  /// `older` and `newer` say whether there are more on that side.
  windows: new Map(),
  /// Read positions: by room id, by user id, a seq.
  reads: new Map(),
  /// Who is typing: by room id, by user id, `{ username, until }` (until: by the own clock).
  typing: new Map(),
  /// Messages that are not yet known to have arrived, in the order they were written:
  /// `{ id, roomId, content, replyTo, createdAt, state: "sending" | "waiting" | "failed", detail }`.
  outbox: [],
  /// null until somebody looks.
  notifications: null,
  unreadNotifications: 0,
  /// Which kinds of notifications are wanted, and which rooms are muted; null until it is known.
  preferences: null,
};

/// The most messages of a room that are kept; what is left out can be fetched again.
export const WINDOW_MAX = 1_000;

const EMPTY = structuredClone(state);
const listeners = new Set();
let told = true;

/// Calls `listener` after each change, once for all changes that belong together.
export function subscribe(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export function changed() {
  if (!told) return;
  told = false;
  queueMicrotask(() => {
    told = true;
    for (const listener of listeners) listener();
  });
}

/// Forgets everything, at logout.
export function clear() {
  Object.assign(state, structuredClone(EMPTY));
  changed();
}

// ---- what several views ask

/// What the API calls those whose account is gone.
const DELETED = "(deleted)";

export const nameOf = (userId, fallback = "…") => {
  if (fallback === DELETED) return t("deleted_user");
  if (userId === state.me?.id) return state.me.display_name;
  const user = state.friends.get(userId) ?? state.users.get(userId);
  return user?.display_name || user?.username || fallback;
};

export const userOf = (userId) => (userId === state.me?.id ? state.me : (state.friends.get(userId) ?? state.users.get(userId) ?? null));

/// The name of somebody in a room, of whom perhaps no more is known.
export const nameIn = (roomId, userId) =>
  nameOf(userId, state.rooms.get(roomId)?.participants.find((participant) => participant.user_id === userId)?.username);

/// The others in a room.
export const othersIn = (room) => room.participants.filter((participant) => participant.user_id !== state.me.id);

/// A room's own name, or that of whoever is in it.
export function roomName(room, alone) {
  if (room.name) return room.name;
  const others = othersIn(room).map((other) => nameOf(other.user_id, other.username));
  return others.length > 0 ? others.join(", ") : alone;
}

/// Rooms by last activity.
export function roomsByActivity() {
  const at = (room) => room.last_message?.created_at ?? room.created_at;
  return [...state.rooms.values()].sort((a, b) => (at(a) < at(b) ? 1 : at(a) > at(b) ? -1 : 0));
}

export const unreadMessages = () => [...state.rooms.values()].reduce((sum, room) => sum + room.unread_count, 0);

/// Whether nothing is told of the messages of a room.
export const isMuted = (roomId) => state.preferences?.muted_rooms.some((muted) =>
  muted.room_id === roomId && (muted.muted_until === null || Date.parse(muted.muted_until) > Date.now())) ?? false;

export const isOnline = (userId) => state.presence.get(userId)?.online ?? false;

// ---- messages

/// Puts a message where it belongs: in place of an older version of itself, or at its `seq`. Gives the seq after which
/// messages are missing, if it cannot be placed without a gap; null otherwise. However often it comes, it is there once.
export function place(message) {
  const room = state.rooms.get(message.room_id);
  if (room && (room.last_message === null || room.last_message.seq <= message.seq)) room.last_message = message;
  const window = state.windows.get(message.room_id);
  if (!window) return null;
  const { items } = window;
  const at = items.findIndex((item) => item.seq >= message.seq);
  if (at >= 0) {
    // One that is older than all that is loaded comes when somebody scrolls up to it.
    if (items[at].seq === message.seq) items[at] = message;
    return null;
  }
  const last = items.at(-1)?.seq ?? 0;
  if (window.newer) return null;
  if (message.seq !== last + 1 && !(items.length === 0 && !window.older)) return last;
  items.push(message);
  if (items.length > WINDOW_MAX) {
    items.shift();
    window.older = true;
  }
  return null;
}

/// Changes a message that is loaded. False where it is not.
export function amend(roomId, messageId, change) {
  const room = state.rooms.get(roomId);
  if (room?.last_message?.id === messageId) room.last_message = { ...room.last_message, ...change };
  const items = state.windows.get(roomId)?.items ?? [];
  const at = items.findIndex((item) => item.id === messageId);
  if (at < 0) return false;
  items[at] = { ...items[at], ...change };
  return true;
}

export function findMessage(roomId, messageId) {
  return state.windows.get(roomId)?.items.find((item) => item.id === messageId) ?? null;
}

/// Moves somebody's read position; it never goes back.
export function moveRead(roomId, userId, seq) {
  const reads = state.reads.get(roomId) ?? new Map();
  state.reads.set(roomId, reads);
  if ((reads.get(userId) ?? 0) >= seq) return;
  reads.set(userId, seq);
}
