-- The chat context: rooms, who is in them, and what was said.
-- Times are milliseconds since the Unix epoch.

CREATE TABLE rooms (
    id TEXT PRIMARY KEY,
    room_type TEXT NOT NULL,                 -- direct, group
    name TEXT,
    owner_id TEXT,
    direct_key TEXT UNIQUE,                  -- the two users of a direct room: one room per pair
    last_seq INTEGER NOT NULL DEFAULT 0,     -- the newest message's place
    last_activity_at INTEGER NOT NULL,
    created_at INTEGER NOT NULL
);

CREATE TABLE participants (
    room_id TEXT NOT NULL REFERENCES rooms (id),
    user_id TEXT NOT NULL,
    username TEXT NOT NULL,
    joined_at INTEGER NOT NULL,
    last_read_seq INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (room_id, user_id)
) WITHOUT ROWID;
CREATE INDEX participants_by_user ON participants (user_id);

CREATE TABLE messages (
    id TEXT NOT NULL UNIQUE,
    room_id TEXT NOT NULL REFERENCES rooms (id),
    seq INTEGER NOT NULL,                    -- 1, 2, 3, … in its room, without a gap
    user_id TEXT NOT NULL,
    username TEXT NOT NULL,
    content TEXT,
    message_type TEXT NOT NULL,              -- text, image, file
    client_message_id TEXT,
    reply_to TEXT,
    created_at INTEGER NOT NULL,
    edited_at INTEGER,
    deleted_at INTEGER,
    PRIMARY KEY (room_id, seq)               -- a room's messages lie together, in their order
) WITHOUT ROWID;
-- A sender's own name for a message, unique for ever: a repeated send finds the first.
CREATE UNIQUE INDEX messages_by_client_message_id ON messages (user_id, client_message_id)
    WHERE client_message_id IS NOT NULL;

-- Events, written in the transaction of the change that they tell of. The publisher takes them to the log, in order of
-- `id`, and deletes them there.
CREATE TABLE outbox (
    id INTEGER PRIMARY KEY,                  -- order of commit: more than all that are there
    event_id TEXT NOT NULL,                  -- CloudEvents id
    topic TEXT NOT NULL,
    key TEXT NOT NULL,                       -- CloudEvents partitionkey
    type TEXT NOT NULL,                      -- CloudEvents type
    data TEXT NOT NULL,                      -- JSON
    time INTEGER NOT NULL,                   -- CloudEvents time, milliseconds since the Unix epoch
    channels TEXT NOT NULL DEFAULT '',       -- further GRIP channels, separated by spaces
    action TEXT NOT NULL DEFAULT 'send'      -- GRIP content action: send, hint, close
);
