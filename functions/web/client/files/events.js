// What an event of the stream does to the state. Each may come twice, or tell what a fetch has told already: then it
// changes nothing.

import * as actions from "./actions.js";
import { serverNow } from "./api.js";
import { amend, changed, findMessage, moveRead, place, state } from "./state.js";

/// The most notifications that are kept.
const NOTIFICATIONS_MAX = 200;

const HANDLERS = {
  MessageSent(message) {
    const room = state.rooms.get(message.room_id);
    if (!room) {
      actions.fetchRoom(message.room_id);
      return;
    }
    actions.lookUp([message.user_id]);
    const isNew = (room.last_message?.seq ?? 0) < message.seq;
    const isMine = message.user_id === state.me.id;
    actions.arrived(message);
    if (isNew && !isMine) room.unread_count += 1;
    state.typing.get(message.room_id)?.delete(message.user_id);
    moveRead(message.room_id, message.user_id, message.seq);
    const gapAfter = place(message);
    if (gapAfter !== null) actions.fetchNewer(message.room_id);
    if (isNew && !isMine) actions.tellOf(message);
  },
  MessageEdited: amended,
  MessageDeleted: amended,
  ReactionChanged: amended,
  MessageRead({ room_id, user_id, seq }) {
    moveRead(room_id, user_id, seq);
    const room = state.rooms.get(room_id);
    if (!room || user_id !== state.me.id || room.unread_count === 0) return;
    // Read on another device. What is left over, the server counts.
    if (seq >= (room.last_message?.seq ?? 0)) room.unread_count = 0;
    else actions.fetchRoom(room_id);
  },
  Typing({ room_id, user_id, username, expires_at }) {
    const leftMs = Date.parse(expires_at) - serverNow();
    if (leftMs > 0 && user_id !== state.me.id) actions.typingUntil(room_id, user_id, username, leftMs);
  },
  ChatRoomCreated(room) {
    if (!state.rooms.has(room.id)) actions.keepRoom(room);
  },
  ChatRoomUpdated({ id, name, owner_id }) {
    const room = state.rooms.get(id);
    if (room) state.rooms.set(id, { ...room, name, owner_id });
  },
  ChatRoomDeleted: ({ id }) => actions.forgetRoom(id),
  ParticipantJoined({ room_id, user_id, username, joined_at, last_read_seq }) {
    const room = state.rooms.get(room_id);
    if (!room) actions.fetchRoom(room_id);
    else if (!room.participants.some((participant) => participant.user_id === user_id)) {
      actions.keepRoom({ ...room, participants: [...room.participants, { user_id, username, joined_at, last_read_seq }] });
    }
  },
  ParticipantLeft: ({ room_id, user_id }) => actions.forgetParticipant(room_id, user_id),
  FriendRequestSent: actions.keepRequest,
  FriendRequestAccepted: actions.keepRequest,
  FriendRequestRejected: actions.keepRequest,
  FriendRequestCancelled: actions.keepRequest,
  FriendRemoved: ({ user_id, friend_id }) => actions.forgetFriend(user_id === state.me.id ? friend_id : user_id),
  UserBlocked: ({ blocked_user_id }) => actions.keepBlock(blocked_user_id),
  UserUnblocked: ({ blocked_user_id }) => actions.forgetBlock(blocked_user_id),
  UserOnlineStatusChanged(presence) {
    state.presence.set(presence.user_id, presence);
  },
  UserProfileUpdated(user) {
    if (state.users.has(user.id)) state.users.set(user.id, user);
    const friend = state.friends.get(user.id);
    if (friend) state.friends.set(user.id, { ...friend, ...user });
    if (user.id === state.me.id) state.me = { ...state.me, ...user };
  },
  NotificationSent({ unread_count, ...notification }) {
    state.unreadNotifications = unread_count;
    if (!state.notifications || state.notifications.some((known) => known.id === notification.id)) return;
    state.notifications.unshift(notification);
    if (state.notifications.length > NOTIFICATIONS_MAX) state.notifications.pop();
  },
  NotificationRead({ ids, room_id, seq, all, read_at, unread_count }) {
    state.unreadNotifications = unread_count;
    actions.notificationsRead(({ id, kind, data }) =>
      all || ids.includes(id) || (kind === "message" && data.room_id === room_id && data.seq <= seq), read_at);
  },
};

/// A later version of a message. Where the event does not carry all of it, it is fetched.
function amended(data) {
  const { room_id, id, message_id } = data;
  const messageId = id ?? message_id;
  if (id !== undefined && "content" in data) amend(room_id, messageId, data);
  else if (data.reactions !== undefined) amend(room_id, messageId, { reactions: data.reactions });
  else if (findMessage(room_id, messageId)) actions.fetchMessage(room_id, messageId);
}

/// Events that wait until a fetch of everything is done; null when none is under way.
let waiting = null;

export function apply(name, data) {
  if (waiting) {
    waiting.push([name, data]);
    return;
  }
  HANDLERS[name]?.(data);
  changed();
}

/// The last of the fetches that were asked for, and how many are not done.
let lastFetch = Promise.resolve();
let fetches = 0;

/// Runs a fetch of everything, one after another. The events of that time come after it: what was fetched may be older than they
/// are, and where it is newer than one of them, a later one makes up for that.
export async function apart(fetchEverything) {
  waiting ??= [];
  fetches += 1;
  const fetch = lastFetch.then(fetchEverything);
  lastFetch = fetch.catch(() => {});
  try {
    await fetch;
  } finally {
    fetches -= 1;
    if (fetches === 0) {
      const events = waiting;
      waiting = null;
      for (const [name, data] of events) apply(name, data);
    }
    changed();
  }
}
