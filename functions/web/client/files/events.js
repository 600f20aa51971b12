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
  ChatRoomCreated: (room) => actions.fetchRoom(room.id),
  ChatRoomUpdated: (room) => actions.fetchRoom(room.id ?? room.room_id),
  ChatRoomDeleted: (room) => actions.forgetRoom(room.id ?? room.room_id),
  ParticipantJoined: ({ room_id }) => actions.fetchRoom(room_id),
  ParticipantLeft({ room_id, user_id }) {
    if (user_id === state.me.id) actions.forgetRoom(room_id);
    else actions.fetchRoom(room_id);
  },
  FriendRequestSent: () => actions.fetchPeople(),
  FriendRequestAccepted: () => actions.fetchPeople(),
  FriendRequestRejected: () => actions.fetchPeople(),
  FriendRequestCancelled: () => actions.fetchPeople(),
  FriendRemoved: () => actions.fetchPeople(),
  UserBlocked: () => actions.fetchPeople(),
  UserUnblocked: () => actions.fetchPeople(),
  UserOnlineStatusChanged(presence) {
    state.presence.set(presence.user_id, presence);
  },
  UserProfileUpdated(user) {
    if (state.users.has(user.id)) state.users.set(user.id, user);
    const friend = state.friends.get(user.id);
    if (friend) state.friends.set(user.id, { ...friend, ...user });
    if (user.id === state.me.id) state.me = { ...state.me, ...user };
  },
  NotificationSent(notification) {
    if (state.notifications.some((known) => known.id === notification.id)) return;
    state.notifications.unshift(notification);
    if (state.notifications.length > NOTIFICATIONS_MAX) state.notifications.pop();
    state.unreadNotifications = notification.unread_count;
  },
  NotificationRead: () => actions.fetchNotifications(),
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
