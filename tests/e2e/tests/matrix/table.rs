//! What each operation answers to whom: status and code.

/// A status, and the code of a refusal.
pub(crate) type Cell = (u16, &'static str);

/// An operation's row.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) operation: &'static str,
    pub(crate) no_token: Cell,
    pub(crate) bad_token: Cell,
    pub(crate) expired_token: Cell,
    pub(crate) revoked_session: Cell,
    pub(crate) another: Cell,
    pub(crate) outsider: Cell,
    pub(crate) blocked: Cell,
}

const OK: Cell = (200, "");
const CREATED: Cell = (201, "");
const DONE: Cell = (204, "");
const UNAUTHORIZED: Cell = (401, "unauthorized");
const NOT_FOUND: Cell = (404, "not_found");

/// Everybody gets the same: who asks does not matter.
fn public(operation: &'static str, answer: Cell) -> Row {
    Row {
        operation,
        no_token: answer,
        bad_token: answer,
        expired_token: answer,
        revoked_session: answer,
        another: answer,
        outsider: answer,
        blocked: answer,
    }
}

/// A token is needed; then it depends on who it is.
fn token(operation: &'static str, another: Cell, outsider: Cell, blocked: Cell) -> Row {
    Row { another, outsider, blocked, ..public(operation, UNAUTHORIZED) }
}

/// A token is needed; then everybody gets the same, of their own.
fn own(operation: &'static str, answer: Cell) -> Row {
    token(operation, answer, answer, answer)
}

pub(crate) fn rows() -> Vec<Row> {
    vec![
        // user
        public("register", CREATED),
        public("logIn", OK),
        public("logInByJson", OK),
        public("refresh", OK),
        own("logOut", DONE),
        // The example's password is everybody's in the town.
        own("changePassword", DONE),
        own("listSessions", OK),
        token("revokeSession", NOT_FOUND, NOT_FOUND, DONE),
        own("getOwnProfile", OK),
        own("updateOwnProfile", OK),
        // So is its password here.
        own("deleteAccount", DONE),
        own("export", OK),
        own("putImage", OK),
        own("deleteImage", DONE),
        public("getImage", OK),
        own("getProfile", OK),
        own("lookUpUsers", OK),
        own("lookUpPresence", OK),
        own("beat", DONE),
        own("searchUsers", OK),
        // friend
        own("listFriends", OK),
        own("requestFriendship", CREATED),
        own("listFriendRequests", OK),
        token("acceptFriendRequest", NOT_FOUND, NOT_FOUND, (409, "request_not_pending")),
        token("rejectFriendRequest", NOT_FOUND, NOT_FOUND, (409, "request_not_pending")),
        own("searchFriends", OK),
        token("removeFriend", NOT_FOUND, NOT_FOUND, NOT_FOUND),
        token("cancelFriendRequest", NOT_FOUND, (403, "not_requester"), DONE),
        own("listBlocks", OK),
        token("blockUser", CREATED, (400, "cannot_block_yourself"), CREATED),
        token("unblockUser", NOT_FOUND, NOT_FOUND, DONE),
        // chat
        own("listRooms", OK),
        // The example is a direct room with Junho, which is there already for Minji.
        token("createRoom", (422, "validation_failed"), CREATED, OK),
        token("getRoom", OK, NOT_FOUND, OK),
        token("renameRoom", OK, NOT_FOUND, OK),
        token("deleteRoom", (403, "not_owner"), NOT_FOUND, DONE),
        token("listParticipants", OK, NOT_FOUND, OK),
        token("addParticipants", OK, NOT_FOUND, OK),
        // Junho leaves; Minji, who owns the group, removes him.
        token("removeParticipant", DONE, NOT_FOUND, DONE),
        token("listMessages", OK, NOT_FOUND, OK),
        token("sendMessage", CREATED, NOT_FOUND, (403, "cannot_message")),
        own("searchMessages", OK),
        token("markRead", OK, NOT_FOUND, OK),
        token("sayTyping", DONE, NOT_FOUND, DONE),
        token("getMessage", OK, NOT_FOUND, OK),
        token("editMessage", (403, "not_author"), NOT_FOUND, (403, "cannot_message")),
        token("deleteMessage", (403, "not_author"), NOT_FOUND, DONE),
        token("react", OK, NOT_FOUND, (403, "cannot_message")),
        token("unreact", OK, NOT_FOUND, OK),
        // stream
        own("getTicket", OK),
        own("streamAll", OK),
        own("streamNotifications", OK),
        own("streamOnlineStatus", OK),
        token("streamRoom", OK, NOT_FOUND, OK),
        // notification
        own("listNotifications", OK),
        own("countUnread", OK),
        own("readNotifications", OK),
        own("getPreferences", OK),
        own("putPreferences", OK),
        // analytics: for operators
        own("getStats", (403, "operator_required")),
        // events: no user's token is the key
        public("receiveForNotification", UNAUTHORIZED),
        public("receiveForFriend", UNAUTHORIZED),
        public("receiveForChat", UNAUTHORIZED),
        public("receiveForSearch", UNAUTHORIZED),
        public("receiveForPresence", UNAUTHORIZED),
        public("receiveForAnalytics", UNAUTHORIZED),
        // operations
        public("getHealth", OK),
        public("headHealth", OK),
        public("getReadiness", OK),
        public("headReadiness", OK),
        public("getDocument", OK),
        public("headDocument", OK),
        public("getMetrics", OK),
        public("headMetrics", OK),
    ]
}
