// What the page does: fetches, sends, changes. Views call these; they change the state and never touch the page.

import * as api from "./api.js";
import { apart, apply } from "./events.js";
import { Stream } from "./stream.js";
import { amend, changed, clear, findMessage, moveRead, nameOf, place, roomName, state, WINDOW_MAX } from "./state.js";
import { announce } from "./dom.js";
import { t } from "./i18n.js";

const OUTBOX_STORED_AS = "plaza.outbox";
const PAGE = 50;
/// How many people one look-up names, by the API's limit.
const LOOKUP_MAX = 100;
const RESEND_MS = 3_000;
/// The API's "is typing" ends by itself; it is said again this often while somebody goes on.
const TYPING_EVERY_MS = 3_000;
/// A friend event is followed by others: one fetch for all of them.
const PEOPLE_AFTER_MS = 80;

// ---- the session

let stream = null;

/// Fetches everything and listens. The stream is opened first, so that nothing falls between the two.
export async function begin() {
  state.me = await api.get("/api/profile/me");
  restoreOutbox();
  changed();
  stream = new Stream({
    open: openStream,
    onEvent: apply,
    onFresh: () => apart(fetchEverything).catch(() => stream?.restart()),
    onState(connection) {
      state.connection = connection;
      if (connection === "live") deliver();
      changed();
    },
  });
  stream.start();
}

async function openStream(headers, signal) {
  const response = await api.authorized("GET", "/api/stream", { headers, signal });
  if (!response.ok) throw api.problemOf(response);
  return response;
}

/// The network is back, or the page is looked at again: no reason to wait on.
export function hurry() {
  stream?.hurry();
}

export function end() {
  stream?.stop();
  stream = null;
  clear();
}

async function fetchEverything() {
  const [rooms] = await Promise.all([api.all("/api/chat-rooms"), fetchPeopleNow(), fetchNotifications()]);
  const listed = new Set(rooms.map((room) => room.id));
  for (const id of [...state.rooms.keys()]) if (!listed.has(id)) forgetRoom(id);
  rooms.forEach(keepRoom);
  const open = openRoomId();
  for (const id of [...state.windows.keys()]) if (id !== open) state.windows.delete(id);
  if (open && state.rooms.has(open)) await fetchNewest(open);
  state.loaded = true;
  lookUp(rooms.flatMap((room) => room.participants.map((participant) => participant.user_id)));
}

/// The room that is shown, by the address.
export const openRoomId = () => /^#\/chats\/([^/?]+)/.exec(location.hash)?.[1] ?? null;

// ---- people

/// Looks up those of these users whose names are not known yet.
export async function lookUp(ids) {
  const unknown = [...new Set(ids)].filter((id) => id !== state.me.id && !state.users.has(id) && !state.friends.has(id));
  for (let at = 0; at < unknown.length; at += LOOKUP_MAX) {
    const users = await api.get(`/api/users?user_ids=${unknown.slice(at, at + LOOKUP_MAX).join(",")}`);
    for (const user of users.items) state.users.set(user.id, user);
  }
  if (unknown.length > 0) changed();
}

let peopleTimer = null;

export function fetchPeople() {
  peopleTimer ??= setTimeout(() => {
    peopleTimer = null;
    fetchPeopleNow().then(changed, () => {});
  }, PEOPLE_AFTER_MS);
}

async function fetchPeopleNow() {
  const [friends, incoming, outgoing, blocked] = await Promise.all([
    api.all("/api/friends"),
    api.all("/api/friends/requests", { direction: "incoming" }),
    api.all("/api/friends/requests", { direction: "outgoing" }),
    api.optional(api.all("/api/friends/blocks")),
  ]);
  state.friends = new Map(friends.map((friend) => [friend.id, friend]));
  for (const friend of friends) state.presence.set(friend.id, friend.presence);
  state.incoming = incoming;
  state.outgoing = outgoing;
  state.blocked = blocked?.map((entry) => entry.user ?? entry) ?? null;
  lookUp([...incoming.map((request) => request.requester_id), ...outgoing.map((request) => request.addressee_id)]);
}

export async function searchPeople(words) {
  const found = await api.get(`/api/users/search?limit=20&q=${encodeURIComponent(words)}`);
  for (const user of found.items) state.users.set(user.id, user);
  return found.items;
}

/// Does something about people and shows how they stand then. Where another device or the other one was quicker, that is shown, too.
const thenPeople = (call) => call.finally(() => fetchPeople());

/// Whoever answers a request need not be told of it any more.
async function answer(requestId, word) {
  await api.post(`/api/friends/requests/${requestId}/${word}`);
  const told = state.notifications.find((one) => one.data.friend_request_id === requestId && one.kind === "friend_request" && !one.read_at);
  if (told) await readNotifications([told.id]);
}

export const befriend = (userId) => thenPeople(api.post("/api/friends/request", { target_user_id: userId }));
export const accept = (requestId) => thenPeople(answer(requestId, "accept"));
export const reject = (requestId) => thenPeople(answer(requestId, "reject"));
export const cancel = (requestId) => thenPeople(api.del(`/api/friends/requests/${requestId}`));
export const unfriend = (userId) => thenPeople(api.del(`/api/friends/${userId}`));
export const block = (userId) => thenPeople(api.post("/api/friends/blocks", { user_id: userId }));
export const unblock = (userId) => thenPeople(api.del(`/api/friends/blocks/${userId}`));

// ---- rooms

/// A room as it was fetched, and what it says of who has read how far.
function keepRoom(room) {
  state.rooms.set(room.id, room);
  for (const participant of room.participants) {
    if (participant.last_read_seq) moveRead(room.id, participant.user_id, participant.last_read_seq);
  }
}

export async function fetchRoom(roomId) {
  const room = await api.optional(api.get(`/api/chat-rooms/${roomId}`)).catch(() => undefined);
  if (room === null) forgetRoom(roomId);
  if (!room) return;
  keepRoom(room);
  lookUp(room.participants.map((participant) => participant.user_id));
  changed();
}

export function forgetRoom(roomId) {
  for (const known of [state.rooms, state.windows, state.reads, state.typing]) known.delete(roomId);
  changed();
}

/// Opens a room with these people: with one, the direct room that the two have; with several, or with a name, a group.
export async function createRoom(userIds, name) {
  const isGroup = userIds.length > 1 || name !== "";
  const body = { room_type: isGroup ? "group" : "direct", participant_ids: userIds, ...(name && { name }) };
  const room = await api.post("/api/chat-rooms", body);
  keepRoom(room);
  changed();
  return room;
}

export const rename = (roomId, name) => api.patch(`/api/chat-rooms/${roomId}`, { name }).then(() => fetchRoom(roomId));
export const addToRoom = (roomId, userIds) =>
  api.post(`/api/chat-rooms/${roomId}/participants`, { user_ids: userIds }).then(() => fetchRoom(roomId));
export const removeFromRoom = (roomId, userId) =>
  api.del(`/api/chat-rooms/${roomId}/participants/${userId}`).then(() => (userId === state.me.id ? forgetRoom(roomId) : fetchRoom(roomId)));
export const deleteRoom = (roomId) => api.del(`/api/chat-rooms/${roomId}`).then(() => forgetRoom(roomId));

// ---- messages

const pageOf = (roomId, query = "") => api.get(`/api/messages/${roomId}?limit=${PAGE}${query}`);

function windowOf(page) {
  page.items.forEach(arrived);
  return { items: page.items, older: page.prev_cursor !== null, newer: page.next_cursor !== null };
}

export async function fetchNewest(roomId) {
  state.windows.set(roomId, windowOf(await pageOf(roomId)));
  changed();
}

/// The page with a certain message in its middle.
export async function fetchAround(roomId, seq) {
  state.windows.set(roomId, windowOf(await pageOf(roomId, `&around=${seq}`)));
  changed();
}

const under_way = new Map();

/// One fetch of a kind at a time: whoever asks meanwhile gets the same.
function once(key, fetch) {
  if (!under_way.has(key)) under_way.set(key, fetch().finally(() => under_way.delete(key)));
  return under_way.get(key);
}

export function fetchOlder(roomId) {
  return once(`older:${roomId}`, async () => {
    const window = state.windows.get(roomId);
    if (!window?.older || window.items.length === 0) return;
    const page = await pageOf(roomId, `&before=${window.items[0].seq}`);
    if (state.windows.get(roomId) !== window) return;
    window.items.unshift(...page.items);
    window.older = page.prev_cursor !== null;
    if (window.items.length > WINDOW_MAX) {
      window.items.length = WINDOW_MAX;
      window.newer = true;
    }
    changed();
  });
}

/// What comes after the last message that is loaded: on scrolling down, or when an event shows that some are missing.
export function fetchNewer(roomId) {
  return once(`newer:${roomId}`, async () => {
    const window = state.windows.get(roomId);
    if (!window) return;
    for (;;) {
      const page = await pageOf(roomId, `&after=${window.items.at(-1)?.seq ?? 0}`);
      if (state.windows.get(roomId) !== window) return;
      const wasNewer = window.newer;
      window.newer = false;
      page.items.forEach(arrived);
      page.items.forEach(place);
      window.newer = wasNewer && page.next_cursor !== null;
      changed();
      // One page on scrolling; all of them to close a gap.
      if (wasNewer || page.next_cursor === null) return;
    }
  });
}

export async function fetchMessage(roomId, messageId) {
  const message = await api.optional(api.get(`/api/messages/${roomId}/${messageId}`)).catch(() => null);
  if (message) amend(roomId, messageId, message);
  changed();
}

/// Reads a message aloud to those who do not see it: here in the open room, by name from elsewhere.
export function tellOf(message) {
  const room = state.rooms.get(message.room_id);
  const name = nameOf(message.user_id, message.username);
  if (message.room_id === openRoomId()) announce(`${name}: ${message.content}`);
  else if (room) announce(t("new_message_in", { name, room: roomName(room, "") }));
}

// ---- sending. A message has the sender's own id, under which the server keeps it once, however often it is sent. So whatever is
// not known to have arrived is simply sent again.

export function send(roomId, content, replyTo) {
  const id = api.newKey();
  state.outbox.push({ id, roomId, content, replyTo, createdAt: new Date().toISOString(), state: "sending", detail: null });
  keepOutbox();
  deliver();
}

export function resend(id) {
  const entry = state.outbox.find((waiting) => waiting.id === id);
  if (entry) entry.state = "sending";
  changed();
  deliver();
}

export function discard(id) {
  state.outbox = state.outbox.filter((entry) => entry.id !== id);
  keepOutbox();
}

/// An own message came back: as the answer to its sending, on the stream, or in a page that was fetched.
export function arrived(message) {
  if (message.user_id === state.me.id && state.outbox.some((entry) => entry.id === message.client_message_id)) discard(message.client_message_id);
}

let delivering = false;
let resendTimer = null;

/// Sends what waits, one after another, in the order it was written.
async function deliver() {
  if (delivering) return;
  delivering = true;
  clearTimeout(resendTimer);
  const unanswered = new Set();
  for (;;) {
    const entry = state.outbox.find((waiting) => waiting.state !== "failed" && !unanswered.has(waiting.roomId));
    if (!entry) break;
    entry.state = "sending";
    try {
      const body = { content: entry.content, message_type: "text", client_message_id: entry.id };
      if (entry.replyTo) body.reply_to = entry.replyTo;
      const message = await api.post(`/api/messages/${entry.roomId}`, body);
      arrived(message);
      if (place(message) !== null) fetchNewer(message.room_id).catch(() => {});
    } catch (problem) {
      entry.state = problem.passing ? "waiting" : "failed";
      entry.detail = problem.passing ? null : problem.message;
      // Those after it in the same room wait, too: they keep their order.
      if (problem.passing) unanswered.add(entry.roomId);
    }
    changed();
  }
  delivering = false;
  if (unanswered.size > 0) resendTimer = setTimeout(deliver, RESEND_MS * (1 + Math.random()));
}

function keepOutbox() {
  sessionStorage.setItem(OUTBOX_STORED_AS, JSON.stringify({ userId: state.me.id, entries: state.outbox }));
  changed();
}

function restoreOutbox() {
  const stored = JSON.parse(sessionStorage.getItem(OUTBOX_STORED_AS) ?? "null");
  if (stored?.userId === state.me.id) state.outbox = stored.entries;
}

// ---- changing messages: shown at once, taken back when refused

async function optimistically(roomId, message, change, call) {
  amend(roomId, message.id, change);
  changed();
  try {
    const answer = await call();
    if (answer?.id === message.id) amend(roomId, message.id, answer);
  } catch (problem) {
    await fetchMessage(roomId, message.id);
    throw problem;
  } finally {
    changed();
  }
}

export const edit = (message, content) =>
  optimistically(message.room_id, message, { content }, () => api.patch(`/api/messages/${message.room_id}/${message.id}`, { content }));

export const remove = (message) =>
  optimistically(message.room_id, message, { content: null, deleted: true, reactions: [] }, () =>
    api.del(`/api/messages/${message.room_id}/${message.id}`));

/// Sets the own reaction, or takes it back where it is there.
export function react(message, emoji) {
  const mine = state.me.id;
  const has = message.reactions.some((reaction) => reaction.emoji === emoji && reaction.user_ids.includes(mine));
  const others = message.reactions.map((reaction) =>
    reaction.emoji === emoji ? { emoji, user_ids: reaction.user_ids.filter((id) => id !== mine) } : reaction);
  const known = others.find((reaction) => reaction.emoji === emoji);
  if (!has && known) known.user_ids.push(mine);
  if (!has && !known) others.push({ emoji, user_ids: [mine] });
  const reactions = others.filter((reaction) => reaction.user_ids.length > 0);
  const path = `/api/messages/${message.room_id}/${message.id}/reactions?emoji=${encodeURIComponent(emoji)}`;
  return optimistically(message.room_id, message, { reactions }, () => (has ? api.del(path) : api.put(path)));
}

/// Up to where each room was marked as read.
const readSent = new Map();

/// Everything in a room up to the newest message was seen.
export function markRead(roomId) {
  const room = state.rooms.get(roomId);
  const window = state.windows.get(roomId);
  const last = window?.items.at(-1);
  if (!room || !last || window.newer) return;
  const seen = Math.max(readSent.get(roomId) ?? 0, state.reads.get(roomId)?.get(state.me.id) ?? 0);
  if (seen >= last.seq && room.unread_count === 0) return;
  readSent.set(roomId, last.seq);
  room.unread_count = 0;
  moveRead(roomId, state.me.id, last.seq);
  api.optional(api.post(`/api/messages/${roomId}/read`, { seq: last.seq })).catch(() => readSent.delete(roomId));
  changed();
}

const typingSaid = new Map();

/// Tells the others in a room that the caller is typing.
export function sayTyping(roomId) {
  if (Date.now() - (typingSaid.get(roomId) ?? 0) < TYPING_EVERY_MS) return;
  typingSaid.set(roomId, Date.now());
  api.post(`/api/messages/${roomId}/typing`).catch(() => {});
}

/// Somebody is typing, for so long.
export function typingUntil(roomId, userId, username, leftMs) {
  const room = state.typing.get(roomId) ?? new Map();
  state.typing.set(roomId, room);
  clearTimeout(room.get(userId)?.timer);
  const timer = setTimeout(() => {
    room.delete(userId);
    changed();
  }, leftMs);
  room.set(userId, { username, timer });
}

/// Messages of all rooms with these words; null where the installation cannot search.
export const searchMessages = (words) => api.optional(api.get(`/api/messages/search?limit=20&q=${encodeURIComponent(words)}`));

/// The message that another one answers, where it is loaded; otherwise it is fetched, once, and kept with those of the room.
const quoted = new Map();

export function quotedMessage(roomId, messageId) {
  const loaded = findMessage(roomId, messageId);
  if (loaded) return loaded;
  if (!quoted.has(messageId)) {
    quoted.set(messageId, null);
    api.optional(api.get(`/api/messages/${roomId}/${messageId}`)).then((message) => {
      quoted.set(messageId, message);
      changed();
    }, () => quoted.delete(messageId));
  }
  return quoted.get(messageId);
}

// ---- notifications

export async function fetchNotifications() {
  const [page, count] = await Promise.all([
    api.get("/api/notifications?limit=50"),
    api.optional(api.get("/api/notifications/unread-count")),
  ]);
  state.notifications = page.items;
  state.unreadNotifications = count?.unread_count ?? page.items.filter((item) => !item.read_at).length;
  lookUp(page.items.map((item) => item.data.user_id).filter(Boolean));
  changed();
}

export async function readNotifications(ids) {
  await api.optional(api.post("/api/notifications/read", ids ? { ids } : { all: true }));
  await fetchNotifications();
}

// ---- the own profile

export async function saveName(displayName) {
  state.me = await api.patch("/api/profile/me", { display_name: displayName });
  changed();
}

/// Sets the profile image, or removes it where there is no file.
export async function saveImage(file) {
  const path = "/api/profile/me/image";
  await (file ? api.call("PUT", path, { body: file, headers: { "content-type": file.type } }) : api.del(path));
  state.me = await api.get("/api/profile/me");
  changed();
}
