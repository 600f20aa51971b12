//! Friend requests, friendships, blocks.

use crate::example::{self, GARAM, HARU, JUNHO, MINJI, REQUEST_BY_MINJI, REQUEST_TO_MINJI, SEOYEON};
use crate::operation::{Body, Operation, delete, get, post};
use plaza_domain::friend::{BlockedUser, Friend, FriendRequest};
use plaza_domain::id::{FriendRequestId, UserId};
use plaza_domain::page::Page;
use plaza_domain::user::DISPLAY_NAME_LENGTH_MAX;
use serde_json::json;

/// Something that is no white space, as the standard library has it (ECMAScript's `\s` lacks one character of it).
const VISIBLE: &str = "[^\\s\\u0085]";

pub(crate) fn operations() -> Vec<Operation> {
    let answer = |route, id, summary, status| {
        post(route, id, summary)
            .segment::<FriendRequestId>("id", "Which request.", REQUEST_TO_MINJI)
            .answers::<FriendRequest>(
                200,
                "The request as it stands now.",
                example::friend_request(REQUEST_TO_MINJI, SEOYEON, MINJI, status),
            )
            .refuses(403, &["not_addressee"])
            .refuses(409, &["request_not_pending"])
    };
    let mut friend = example::junho();
    friend["presence"] = json!({ "user_id": JUNHO, "online": false, "last_seen_at": null });
    friend["friends_since"] = example::AT.into();
    let blocked = json!({ "user": example::user(GARAM, "garam.yun", "윤가람"), "blocked_at": example::AT });
    vec![
        get("/api/friends", "listFriends", "The own friends")
            .about("With profile and presence, in the order in which they joined Plaza.")
            .list()
            .answers::<Page<Friend>>(200, "The own friends.", example::page(&friend)),
        post("/api/friends/request", "requestFriendship", "Asks somebody to become friends")
            .about("Where they asked first, it is a yes to their request.")
            .takes(
                Body::json()
                    .required::<UserId>("target_user_id")
                    .example("seoyeon", json!({ "target_user_id": SEOYEON })),
            )
            .answers::<FriendRequest>(
                201,
                "The request, which waits.",
                example::friend_request(REQUEST_BY_MINJI, MINJI, HARU, "pending"),
            )
            .answers::<FriendRequest>(
                200,
                "Their request, which is accepted.",
                example::friend_request(REQUEST_TO_MINJI, SEOYEON, MINJI, "accepted"),
            )
            .refuses(400, &["cannot_befriend_yourself"])
            .refuses(404, &["user_not_found"])
            .refuses(409, &["request_exists", "already_friends", "blocked"]),
        get("/api/friends/search", "searchFriends", "Finds friends")
            .about("Those whose user name or display name begins so. A page may be short and still have a `next_cursor`.")
            .query_required(
                "q",
                "The beginning of a name.",
                json!({ "type": "string", "minLength": 1, "maxLength": DISPLAY_NAME_LENGTH_MAX, "pattern": VISIBLE }),
                "junho".into(),
            )
            .list()
            .answers::<Page<Friend>>(200, "Those who were found.", example::page(&friend)),
        delete("/api/friends/:user_id", "removeFriend", "Ends a friendship")
            .segment::<UserId>("user_id", "With whom.", JUNHO)
            .answers_nothing(204, "It has ended."),
        delete("/api/friends/requests/:id", "cancelFriendRequest", "Takes a friend request back")
            .segment::<FriendRequestId>("id", "Which request.", REQUEST_BY_MINJI)
            .answers_nothing(204, "It is taken back.")
            .refuses(403, &["not_requester"])
            .refuses(409, &["request_not_pending"]),
        get("/api/friends/blocks", "listBlocks", "Whom the caller blocks")
            .list()
            .answers::<Page<BlockedUser>>(200, "Those who are blocked.", example::page(&blocked)),
        post("/api/friends/blocks", "blockUser", "Blocks somebody")
            .about(
                "It ends the friendship, hides each from the other in searches and presence, and stops requests and direct messages \
                 between the two. The blocked one is not told.",
            )
            .takes(Body::json().required::<UserId>("user_id").example("haru", json!({ "user_id": HARU })))
            .answers::<BlockedUser>(201, "They are blocked.", blocked.clone())
            .answers::<BlockedUser>(200, "They were blocked before.", blocked)
            .refuses(400, &["cannot_block_yourself"])
            .refuses(404, &["user_not_found"]),
        delete("/api/friends/blocks/:user_id", "unblockUser", "Ends a block")
            .segment::<UserId>("user_id", "Of whom.", GARAM)
            .answers_nothing(204, "It has ended."),
        get("/api/friends/requests", "listFriendRequests", "The friend requests that wait")
            .about("Newest first.")
            .query(
                "direction",
                "Those that came, or those that were sent.",
                json!({ "type": "string", "enum": ["incoming", "outgoing"], "default": "incoming" }),
            )
            .list()
            .answers::<Page<FriendRequest>>(
                200,
                "The requests.",
                example::page(&example::friend_request(REQUEST_TO_MINJI, SEOYEON, MINJI, "pending")),
            ),
        answer("/api/friends/requests/:id/accept", "acceptFriendRequest", "Says yes to a friend request", "accepted"),
        answer("/api/friends/requests/:id/reject", "rejectFriendRequest", "Says no to a friend request", "rejected"),
    ]
}
