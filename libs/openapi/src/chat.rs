//! Rooms and messages.

use crate::example::{self, JUNHO, MESSAGE, ROOM};
use crate::operation::{Body, Operation, get, post};
use plaza_domain::chat::{
    ClientMessageId, Content, Message, MessageType, PARTICIPANTS_PER_REQUEST_MAX, Room, RoomName, RoomType,
};
use plaza_domain::id::{MessageId, RoomId};
use plaza_domain::page::Page;
use serde_json::json;

pub(crate) fn operations() -> Vec<Operation> {
    let room = |operation: Operation| operation.segment::<RoomId>("room_id", "Which room.", ROOM);
    let place = || json!({ "type": "string", "minLength": 1 });
    vec![
        get("/api/chat-rooms", "listRooms", "The own rooms")
            .about("By last activity, with the last message and how many are not read.")
            .list()
            .answers::<Page<Room>>(200, "The own rooms.", example::page(&example::room())),
        post("/api/chat-rooms", "createRoom", "Makes a room")
            .about("Two people have one direct room: where it is there already, it is given.")
            .takes(
                Body::json()
                    .required::<RoomType>("room_type")
                    .required::<Vec<plaza_domain::id::UserId>>("participant_ids")
                    .optional::<RoomName>("name")
                    .also(
                        "anyOf",
                        json!([
                            { "properties": {
                                "room_type": { "const": "direct" },
                                "participant_ids": { "minItems": 1, "maxItems": 1 },
                                "name": { "type": "null" },
                            } },
                            { "properties": {
                                "room_type": { "const": "group" },
                                "participant_ids": { "minItems": 1, "maxItems": PARTICIPANTS_PER_REQUEST_MAX },
                            } },
                        ]),
                    )
                    .example("group", json!({ "room_type": "group", "participant_ids": [JUNHO], "name": "등산" }))
                    .example("direct", json!({ "room_type": "direct", "participant_ids": [JUNHO] })),
            )
            .answers::<Room>(201, "The new room.", example::room())
            .answers::<Room>(200, "The direct room that is there.", example::room())
            .refuses(404, &["user_not_found"]),
        room(get("/api/chat-rooms/:room_id", "getRoom", "One room"))
            .answers::<Room>(200, "The room.", example::room()),
        room(get("/api/messages/:room_id", "listMessages", "A page of a room's messages"))
            .about(
                "In ascending `seq`; the newest page where nothing is asked for. `prev_cursor` leads to older ones, `next_cursor` \
                 to newer. `before`, `after` and `around` take the id or the `seq` of a message.",
            )
            .list()
            .query("before", "Those before this one.", place())
            .query("after", "Those after this one.", place())
            .query("around", "Those around this one.", place())
            .answers::<Page<Message>>(200, "The messages.", example::page(&example::message())),
        room(post("/api/messages/:room_id", "sendMessage", "Sends a message"))
            .about(
                "It gets the room's next `seq`. The same `client_message_id` again gives the first message again: whoever does not \
                 know whether a send arrived just sends it again.",
            )
            .takes(
                Body::json()
                    .required::<Content>("content")
                    .optional::<MessageType>("message_type")
                    .optional::<ClientMessageId>("client_message_id")
                    .optional::<MessageId>("reply_to")
                    .example("text", json!({ "content": "산책 갈래?", "client_message_id": "a1" }))
                    .example("reply", json!({ "content": "좋아!", "reply_to": MESSAGE })),
            )
            .answers::<Message>(201, "The message.", example::message())
            .answers::<Message>(200, "The message that was sent under this `client_message_id` before.", example::message())
            .refuses(409, &["client_message_id_used"]),
    ]
}
