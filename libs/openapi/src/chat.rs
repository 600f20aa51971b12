//! Rooms and messages.

use crate::example::{self, ANSWER, AT, GROUP, HARU, JUNHO, MESSAGE, MINJI, ROOM};
use crate::operation::{Body, Operation, Shape, delete, get, patch, post, put};
use plaza_domain::chat::search::SEARCH_LENGTH_MAX;
use plaza_domain::chat::{
    ClientMessageId, Content, Message, MessageDetail, MessageType, PARTICIPANTS_PER_REQUEST_MAX, Participant, ReadUpTo,
    Room, RoomName, RoomType, Seq,
};
use plaza_domain::id::{MessageId, RoomId, UserId};
use plaza_domain::page::Page;
use plaza_domain::schema::ID_PATTERN;
use serde_json::{Value, json};

pub(crate) fn operations() -> Vec<Operation> {
    let mut operations = rooms();
    operations.extend(participants());
    operations.extend(messages());
    operations.extend(one_message());
    operations
}

fn in_room(operation: Operation, example: &str) -> Operation {
    operation.segment::<RoomId>("room_id", "Which room.", example)
}

fn rooms() -> Vec<Operation> {
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
                    .required::<Vec<UserId>>("participant_ids")
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
            .refuses(403, &["cannot_message"])
            .refuses(404, &["user_not_found"])
            .refuses(409, &["blocked"]),
        in_room(get("/api/chat-rooms/:room_id", "getRoom", "One room"), ROOM).answers::<Room>(
            200,
            "The room.",
            example::room(),
        ),
        in_room(patch("/api/chat-rooms/:room_id", "renameRoom", "Gives a group another name"), GROUP)
            .takes(Body::json().required::<RoomName>("name").example("name", json!({ "name": "산책 🌳" })))
            .answers::<Room>(200, "The room.", example::group())
            .refuses(409, &["direct_room"]),
        in_room(delete("/api/chat-rooms/:room_id", "deleteRoom", "Deletes a group"), GROUP)
            .about("By its owner. From then on it is gone for everyone.")
            .answers_nothing(204, "It is gone.")
            .refuses(403, &["not_owner"])
            .refuses(409, &["direct_room"]),
    ]
}

fn participants() -> Vec<Operation> {
    let haru = json!({ "user_id": HARU, "username": "haru.choi", "joined_at": AT, "last_read_seq": 0 });
    vec![
        in_room(get("/api/chat-rooms/:room_id/participants", "listParticipants", "Who is in a room"), ROOM)
            .about("In the order in which they came.")
            .list()
            .answers::<Page<Participant>>(
                200,
                "Those in it.",
                example::page(&example::participant(MINJI, "minji.kim")),
            ),
        in_room(post("/api/chat-rooms/:room_id/participants", "addParticipants", "Brings people into a group"), GROUP)
            .about("By anybody in it. Who is there already is no error.")
            .takes(
                Body::json()
                    .required::<Vec<UserId>>("user_ids")
                    .also(
                        "properties",
                        json!({ "user_ids": {
                            "type": "array", "items": { "$ref": "#/components/schemas/UserId" },
                            "minItems": 1, "maxItems": PARTICIPANTS_PER_REQUEST_MAX,
                        } }),
                    )
                    .example("haru", json!({ "user_ids": [HARU] })),
            )
            .answers::<Page<Participant>>(200, "Those who were named, as they are in the room.", example::page(&haru))
            .refuses(404, &["user_not_found"])
            .refuses(409, &["direct_room", "room_full"]),
        in_room(
            delete(
                "/api/chat-rooms/:room_id/participants/:user_id",
                "removeParticipant",
                "Leaves a group, or removes somebody",
            ),
            GROUP,
        )
        .segment::<UserId>("user_id", "Who: oneself leaves; somebody else is removed, by the owner.", JUNHO)
        .answers_nothing(204, "They are no longer in it.")
        .refuses(403, &["not_owner"])
        .refuses(409, &["direct_room"]),
    ]
}

fn messages() -> Vec<Operation> {
    // As in cursors, nothing is the same as leaving it out.
    let place = || json!({ "type": "string", "pattern": format!("^([0-9]{{1,18}}|{})?$", ID_PATTERN.trim_matches(['^', '$'])) });
    vec![
        in_room(get("/api/messages/:room_id", "listMessages", "A page of a room's messages"), ROOM)
            .about(
                "In ascending `seq`; the newest page where nothing is asked for. `prev_cursor` leads to older ones, `next_cursor` \
                 to newer. `before`, `after` and `around` take the id or the `seq` of a message.",
            )
            .list()
            .query("before", "Those before this one.", place())
            .query("after", "Those after this one.", place())
            .query("around", "Those around this one.", place())
            .answers::<Page<Message>>(200, "The messages.", example::page(&example::message())),
        writing(in_room(post("/api/messages/:room_id", "sendMessage", "Sends a message"), ROOM))
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
        get("/api/messages/search", "searchMessages", "Finds messages in the own rooms")
            .about(
                "Newest first: those with words that begin with each word of `q`; in Korean, Japanese, Chinese and the like those that \
                 have it anywhere. Signs mean nothing. A page may be short and still have a `next_cursor`.",
            )
            .query_required(
                "q",
                "The words.",
                json!({ "type": "string", "minLength": 1, "maxLength": SEARCH_LENGTH_MAX }),
                "준호".into(),
            )
            .query("room_id", "Only in this room.", Shape::of::<RoomId>())
            .list()
            .answers::<Page<Message>>(200, "Those that were found.", example::page(&example::message())),
        in_room(post("/api/messages/:room_id/read", "markRead", "Moves the own read position"), ROOM)
            .about("Up to a message, by its id or its `seq`. It never goes back.")
            .takes(
                Body::json()
                    .optional::<MessageId>("message_id")
                    .optional::<Seq>("seq")
                    .also(
                        "oneOf",
                        json!([
                            { "required": ["message_id"], "properties": {
                                "message_id": { "type": "string" }, "seq": { "type": "null" },
                            } },
                            { "required": ["seq"], "properties": {
                                "seq": { "type": "integer" }, "message_id": { "type": "null" },
                            } },
                        ]),
                    )
                    .example("message", json!({ "message_id": ANSWER }))
                    .example("seq", json!({ "seq": 2 })),
            )
            .answers::<ReadUpTo>(
                200,
                "The position as it stands.",
                json!({ "room_id": ROOM, "last_read_seq": 2, "unread_count": 0 }),
            ),
        in_room(post("/api/messages/:room_id/typing", "sayTyping", "Says that the caller is typing"), ROOM)
            .about("Over after 8 seconds, unless they say it again.")
            .answers_nothing(204, "Those who listen are told."),
    ]
}

/// What a message to somebody may be refused for.
fn writing(operation: Operation) -> Operation {
    operation.refuses(403, &["cannot_message"]).refuses(409, &["blocked"])
}

fn one_message() -> Vec<Operation> {
    let message =
        |operation: Operation| in_room(operation, ROOM).segment::<MessageId>("message_id", "Which message.", MESSAGE);
    let with_emoji = |operation: Operation| {
        message(operation)
            .query_required("emoji", "Exactly one.", json!({ "type": "string", "minLength": 1 }), "👍".into())
            .answers::<Message>(200, "The message.", example::message())
            .refuses(409, &["message_deleted"])
    };
    let mut detail: Value = example::message();
    detail["edits"] = json!([]);
    vec![
        message(get("/api/messages/:room_id/:message_id", "getMessage", "One message"))
            .about("With what it said before.")
            .answers::<MessageDetail>(200, "The message.", detail),
        writing(message(patch("/api/messages/:room_id/:message_id", "editMessage", "Edits an own message")))
            .takes(Body::json().required::<Content>("content").example("text", json!({ "content": "안녕, 준호야!" })))
            .answers::<Message>(200, "The message.", example::message())
            .refuses(403, &["not_author"])
            .refuses(409, &["message_deleted", "not_editable", "too_many_edits"]),
        message(delete("/api/messages/:room_id/:message_id", "deleteMessage", "Takes a message back"))
            .about("By its author, and in a group by its owner. It keeps its id, `seq` and times.")
            .answers_nothing(204, "It is taken back.")
            .refuses(403, &["not_author"]),
        writing(with_emoji(put("/api/messages/:room_id/:message_id/reactions", "react", "Reacts to a message")))
            .refuses(409, &["too_many_reactions"]),
        with_emoji(delete("/api/messages/:room_id/:message_id/reactions", "unreact", "Takes a reaction back")),
    ]
}
