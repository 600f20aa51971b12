// What the page does: fetches, sends, changes. Views call these; they change the state and never touch the page.

import * as api from "./api.js";
import { apart, apply } from "./events.js";
import { Stream } from "./stream.js";
import { amend, changed, clear, findMessage, isMuted, moveRead, nameOf, othersIn, place, roomName, state, WINDOW_MAX } from "./state.js";
import { announce } from "./dom.js";
import { explain, t } from "./i18n.js";

const OUTBOX_STORED_AS = "plaza.outbox";
const PAGE = 50;
/// How many people one look-up names, by the API's limit.
const LOOKUP_MAX = 100;
const RESEND_MS = 3_000;
/// The API's "is typing" ends by itself after 8 seconds; it is said again this often while somebody goes on.
const TYPING_EVERY_MS = 5_000;
/// That messages were read is said at most this often for a room.
const READ_EVERY_MS = 2_000;
/// Friend events come in company: one fetch for all of them.
const FRIENDS_AFTER_MS = 80;
/// The names of a group without a name are those of its first members.
const NAMED_AFTER_MAX = 10;
/// What the API takes as a picture, and the side of the largest square that it makes of one.
const PICTURE_BYTES_MAX = 1024 * 1024;
const PICTURE_SIDE = 1_024;
/// An export is not read further than this: 1,000,000 items.
const EXPORT_PAGES_MAX = 10_000;

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
  for (const known of [lookedUp, readHere, readSaidAt, typingSaid, quoted]) known.clear();
  clear();
}

async function fetchEverything() {
  const [rooms] = await Promise.all([
    api.all("/api/chat-rooms"), fetchFriendsNow(), fetchIncoming(), fetchPreferences(), fetchUnread(),
    // What somebody has looked at is kept up to date; the rest waits until somebody does.
    state.outgoing && fetchOutgoing(), state.blocked && fetchBlocked(), state.notifications && fetchNotifications(),
  ]);
  const listed = new Set(rooms.map((room) => room.id));
  for (const id of [...state.rooms.keys()]) if (!listed.has(id)) forgetRoom(id);
  rooms.forEach(putRoom);
  const open = openRoomId();
  for (const id of [...state.windows.keys()]) if (id !== open) state.windows.delete(id);
  if (open && state.rooms.has(open)) await fetchNewest(open);
  state.loaded = true;
  lookUp([...rooms.flatMap(shownOf), ...state.incoming.map((request) => request.requester_id)]);
}

/// The room that is shown, by the address.
export const openRoomId = () => /^#\/chats\/([^/?]+)/.exec(location.hash)?.[1] ?? null;

// ---- people

/// Those who were looked up, found or not.
const lookedUp = new Set();

/// Looks up those of these users whose names are not known yet.
export async function lookUp(ids) {
  const isUnknown = (id) => id && id !== state.me.id && !lookedUp.has(id) && !state.users.has(id) && !state.friends.has(id);
  const unknown = [...new Set(ids)].filter(isUnknown);
  unknown.forEach((id) => lookedUp.add(id));
  for (let at = 0; at < unknown.length; at += LOOKUP_MAX) {
    const some = unknown.slice(at, at + LOOKUP_MAX);
    try {
      const users = await api.get(`/api/users?user_ids=${some.join(",")}`);
      for (const user of users.items) state.users.set(user.id, user);
    } catch {
      // Their user names are known; the next who asks tries again.
      some.forEach((id) => lookedUp.delete(id));
    }
  }
  if (unknown.length > 0) changed();
}

async function fetchFriendsNow() {
  const friends = await api.all("/api/friends");
  state.friends = new Map(friends.map((friend) => [friend.id, friend]));
  for (const friend of friends) state.presence.set(friend.id, friend.presence);
}

async function fetchIncoming() {
  state.incoming = await api.all("/api/friends/requests", { direction: "incoming" });
}

async function fetchOutgoing() {
  state.outgoing = await api.all("/api/friends/requests", { direction: "outgoing" });
  lookUp(state.outgoing.map((request) => request.addressee_id));
}

async function fetchBlocked() {
  const blocks = await api.all("/api/friends/blocks");
  for (const { user } of blocks) state.users.set(user.id, user);
  state.blocked = blocks.map(({ user }) => user.id);
}

/// What is known of people only where somebody looks at it: whom one has asked, and whom one blocks.
export const loadPeople = () => once("people", () =>
  apart(() => Promise.all([state.outgoing ?? fetchOutgoing(), state.blocked ?? fetchBlocked()])));

let friendsTimer = null;

function fetchFriends() {
  friendsTimer ??= setTimeout(() => {
    friendsTimer = null;
    apart(fetchFriendsNow).catch(() => {});
  }, FRIENDS_AFTER_MS);
}

/// A friend request as it is now. Of a new friend, more is to be known.
export function keepRequest(request) {
  const isMine = request.requester_id === state.me.id;
  const other = isMine ? request.addressee_id : request.requester_id;
  forgetRequests((known) => known.id === request.id);
  if (request.status === "accepted" && !state.friends.has(other)) fetchFriends();
  if (request.status !== "pending") return;
  (isMine ? state.outgoing : state.incoming)?.unshift(request);
  lookUp([other]);
}

function forgetRequests(which) {
  state.incoming = state.incoming.filter((request) => !which(request));
  state.outgoing = state.outgoing?.filter((request) => !which(request)) ?? null;
}

export function forgetFriend(userId) {
  const friend = state.friends.get(userId);
  if (friend) state.users.set(userId, friend);
  state.friends.delete(userId);
  state.presence.delete(userId);
}

export function keepBlock(userId) {
  forgetFriend(userId);
  forgetRequests((request) => [request.requester_id, request.addressee_id].includes(userId));
  if (!state.blocked?.includes(userId)) state.blocked?.unshift(userId);
  lookUp([userId]);
}

export function forgetBlock(userId) {
  state.blocked = state.blocked?.filter((id) => id !== userId) ?? null;
}

export async function searchPeople(words) {
  const found = await api.get(`/api/users/search?limit=20&q=${encodeURIComponent(words)}`);
  for (const user of found.items) state.users.set(user.id, user);
  return found.items;
}

/// Does something about people, and `keep`s what came of it. Where another device or the other one was quicker, that is fetched.
async function aboutPeople(call, keep) {
  try {
    keep(await call);
  } catch (problem) {
    await apart(() => Promise.allSettled([fetchFriendsNow(), fetchIncoming(), fetchOutgoing(), fetchBlocked()]));
    throw problem;
  } finally {
    changed();
  }
}

async function answer(requestId, word) {
  const request = await api.post(`/api/friends/requests/${requestId}/${word}`);
  noLongerNew(requestId).catch(() => {});
  return request;
}

/// Whoever answered a request need not be told of it any more.
async function noLongerNew(requestId) {
  await loadNotifications();
  const told = state.notifications.find((one) => one.data.friend_request_id === requestId && one.kind === "friend_request" && !one.read_at);
  if (told) await readNotifications([told.id]);
}

export const befriend = (userId) => aboutPeople(api.post("/api/friends/request", { target_user_id: userId }), keepRequest);
export const accept = (requestId) => aboutPeople(answer(requestId, "accept"), keepRequest);
export const reject = (requestId) => aboutPeople(answer(requestId, "reject"), keepRequest);
export const cancel = (requestId) =>
  aboutPeople(api.del(`/api/friends/requests/${requestId}`), () => forgetRequests((known) => known.id === requestId));
export const unfriend = (userId) => aboutPeople(api.del(`/api/friends/${userId}`), () => forgetFriend(userId));
export const block = (userId) => aboutPeople(api.post("/api/friends/blocks", { user_id: userId }), () => keepBlock(userId));
export const unblock = (userId) => aboutPeople(api.del(`/api/friends/blocks/${userId}`), () => forgetBlock(userId));

// ---- rooms

/// A room as it was fetched, and what it says of who has read how far.
function putRoom(room) {
  state.rooms.set(room.id, room);
  for (const participant of room.participants) {
    if (participant.last_read_seq) moveRead(room.id, participant.user_id, participant.last_read_seq);
  }
}

export function keepRoom(room) {
  putRoom(room);
  lookUp(shownOf(room));
}

/// Of whom a list of rooms shows a name or a picture. A group may have a thousand members: those are looked up where they are shown.
function shownOf(room) {
  const others = othersIn(room).map((other) => other.user_id);
  const named = room.name ? [] : others.slice(0, NAMED_AFTER_MAX);
  return [...named, room.last_message?.user_id];
}

export async function fetchRoom(roomId) {
  const room = await api.optional(api.get(`/api/chat-rooms/${roomId}`)).catch(() => undefined);
  if (room === null) forgetRoom(roomId);
  if (!room) return;
  keepRoom(room);
  changed();
}

/// Looks up everybody in a room.
export const lookUpIn = (room) => lookUp(room.participants.map((participant) => participant.user_id));

export function forgetParticipant(roomId, userId) {
  const room = state.rooms.get(roomId);
  if (userId === state.me.id) forgetRoom(roomId);
  else if (room) state.rooms.set(roomId, { ...room, participants: room.participants.filter((one) => one.user_id !== userId) });
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

export const rename = (roomId, name) => api.patch(`/api/chat-rooms/${roomId}`, { name }).then(keepRoom);
export const addToRoom = (roomId, userIds) =>
  api.post(`/api/chat-rooms/${roomId}/participants`, { user_ids: userIds }).then(() => fetchRoom(roomId));
export const removeFromRoom = (roomId, userId) =>
  api.del(`/api/chat-rooms/${roomId}/participants/${userId}`).then(() => forgetParticipant(roomId, userId));
export const deleteRoom = (roomId) => api.del(`/api/chat-rooms/${roomId}`).then(() => forgetRoom(roomId));

// ---- messages

const pageOf = (roomId, query = "") => api.get(`/api/messages/${roomId}?limit=${PAGE}${query}`);

function windowOf(page) {
  page.items.forEach(arrived);
  lookUpAuthors(page.items);
  return { items: page.items, older: page.prev_cursor !== null, newer: page.next_cursor !== null };
}

const lookUpAuthors = (messages) => lookUp(messages.map((message) => message.user_id));

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
    lookUpAuthors(page.items);
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
      lookUpAuthors(page.items);
      window.newer = wasNewer && page.next_cursor !== null;
      changed();
      // One page on scrolling; all of them to close a gap.
      if (wasNewer || page.next_cursor === null) return;
    }
  });
}

/// A message with what it said before.
export const messageWithEdits = (message) => api.get(`/api/messages/${message.room_id}/${message.id}`);

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
  else if (room && !isMuted(room.id)) announce(t("new_message_in", { name, room: roomName(room, "") }));
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
  let againMs = RESEND_MS * (1 + Math.random());
  for (;;) {
    const entry = state.outbox.find((waiting) => waiting.state !== "failed" && !unanswered.has(waiting.roomId));
    if (!entry) break;
    entry.state = "sending";
    try {
      const body = { content: entry.content, message_type: "text", client_message_id: entry.id };
      if (entry.replyTo) body.reply_to = entry.replyTo;
      const message = await api.call("POST", `/api/messages/${entry.roomId}`, { json: body, patient: false });
      arrived(message);
      // Who writes has read what came before.
      moveRead(message.room_id, message.user_id, message.seq);
      if (place(message) !== null) fetchNewer(message.room_id).catch(() => {});
    } catch (problem) {
      entry.state = problem.passing ? "waiting" : "failed";
      entry.detail = problem.passing ? null : explain(problem);
      entry.limited = problem.status === 429;
      // The server knows best when; a little chance keeps the devices of one person apart.
      if (entry.limited) againMs = (problem.retryAfterMs ?? againMs) * (1 + Math.random() / 4);
      // Those after it in the same room wait, too: they keep their order.
      if (problem.passing) unanswered.add(entry.roomId);
    }
    changed();
  }
  delivering = false;
  if (unanswered.size > 0) resendTimer = setTimeout(deliver, againMs);
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

/// By room: up to where it was read here, as was said or will be; and when that was said last.
const readHere = new Map();
const readSaidAt = new Map();
const readTimers = new Map();

/// Everything in a room up to the newest message was seen.
export function markRead(roomId) {
  const room = state.rooms.get(roomId);
  const window = state.windows.get(roomId);
  const last = window?.items.at(-1);
  if (!room || !last || window.newer) return;
  if (room.unread_count > 0) {
    room.unread_count = 0;
    changed();
  }
  if (Math.max(readHere.get(roomId) ?? 0, state.reads.get(roomId)?.get(state.me.id) ?? 0) >= last.seq) return;
  readHere.set(roomId, last.seq);
  if (readTimers.has(roomId)) return;
  const restMs = READ_EVERY_MS - (Date.now() - (readSaidAt.get(roomId) ?? 0));
  readTimers.set(roomId, setTimeout(() => sayRead(roomId), Math.max(0, restMs)));
}

/// Says up to where a room was read: at once at first, then for all messages of a while.
async function sayRead(roomId) {
  readTimers.delete(roomId);
  const seq = readHere.get(roomId);
  if (!state.me || (state.reads.get(roomId)?.get(state.me.id) ?? 0) >= seq) return;
  readSaidAt.set(roomId, Date.now());
  try {
    await api.post(`/api/messages/${roomId}/read`, { seq });
  } catch {
    // Whoever still looks at the room says it again.
    if (readHere.get(roomId) === seq) readHere.delete(roomId);
  }
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

async function fetchUnread() {
  state.unreadNotifications = (await api.get("/api/notifications/unread-count")).unread_count;
}

async function fetchNotifications() {
  const page = await api.get("/api/notifications?limit=50");
  state.notifications = page.items;
  lookUp(page.items.map((item) => item.data.user_id));
  changed();
}

/// Fetches them where nobody has looked at them yet; after that, events tell what is new.
export const loadNotifications = () => state.notifications ?? once("notifications", () => apart(fetchNotifications));

export async function readNotifications(ids) {
  const { unread_count } = await api.post("/api/notifications/read", ids ? { ids } : { all: true });
  state.unreadNotifications = unread_count;
  notificationsRead((one) => !ids || ids.includes(one.id), new Date().toISOString());
  changed();
}

/// Those that `which` is true of were read.
export function notificationsRead(which, readAt) {
  state.notifications = state.notifications?.map((one) => (one.read_at || !which(one) ? one : { ...one, read_at: readAt })) ?? null;
}

const PREFERENCES = "/api/notifications/preferences";

async function fetchPreferences() {
  state.preferences = await api.get(PREFERENCES);
}

/// Changes what one is told of. They are put as a whole, so what another device has changed meanwhile is fetched first.
async function changePreferences(change) {
  const current = await api.get(PREFERENCES);
  state.preferences = await api.put(PREFERENCES, { ...current, ...change(current) });
  changed();
}

export const wantKind = (kind, isWanted) => changePreferences(({ kinds }) => ({ kinds: { ...kinds, [kind]: isWanted } }));

export const mute = (roomId, isMuted) => changePreferences(({ muted_rooms }) => ({
  muted_rooms: [...muted_rooms.filter((muted) => muted.room_id !== roomId), ...(isMuted ? [{ room_id: roomId, muted_until: null }] : [])],
}));

// ---- the own profile

export async function saveName(displayName) {
  state.me = await api.patch("/api/profile/me", { display_name: displayName });
  changed();
}

/// A picture that is too large for the API, as large as the API keeps it: the shorter side gets what a profile shows. One that this
/// browser cannot read goes as it is, and the API says what is wrong with it.
async function shrunk(file) {
  if (file.size <= PICTURE_BYTES_MAX) return file;
  const bitmap = await createImageBitmap(file).catch(() => null);
  if (!bitmap) return file;
  const scale = Math.min(1, PICTURE_SIDE / Math.min(bitmap.width, bitmap.height));
  const canvas = document.createElement("canvas");
  Object.assign(canvas, { width: Math.round(bitmap.width * scale), height: Math.round(bitmap.height * scale) });
  canvas.getContext("2d").drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  bitmap.close();
  return new Promise((done) => canvas.toBlob((blob) => done(blob ?? file), "image/jpeg", 0.9));
}

/// Sets the profile image, or removes it where there is no file.
export async function saveImage(file) {
  const path = "/api/profile/me/image";
  if (file) {
    const body = await shrunk(file);
    state.me = await api.call("PUT", path, { body, headers: { "content-type": body.type } });
  } else {
    await api.del(path);
    state.me = { ...state.me, profile_image_url: null };
  }
  changed();
}

export const changePassword = (current, next) => api.put("/api/auth/password", { current_password: current, new_password: next });

export const sessions = () => api.all("/api/auth/sessions");
export const endSession = (id) => api.del(`/api/auth/sessions/${id}`);

/// Everything that is kept of the caller, as a JSON text. `tell(count)` hears how much there is so far. A page is written down when it
/// comes, so that not all of it is there twice.
export async function exportData(tell) {
  const parts = [];
  let [pages, count] = [0, 0];
  for await (const items of api.pages("/api/profile/me/export")) {
    pages += 1;
    if (pages > EXPORT_PAGES_MAX) throw new Error(t("too_much"));
    if (items.length === 0) continue;
    parts.push(count === 0 ? "[\n" : ",\n", items.map((item) => JSON.stringify(item)).join(",\n"));
    count += items.length;
    tell(count);
  }
  return new Blob([...parts, count === 0 ? "[]\n" : "\n]\n"], { type: "application/json" });
}

/// Deletes the account. What this page knows goes with it.
export async function deleteAccount(password) {
  await api.deleteAccount(password);
  end();
}
