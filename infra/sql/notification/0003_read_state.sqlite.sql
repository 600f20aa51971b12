-- What a user has read, what they want to be told of, and the events that tell of it.

-- What a notification is about, so that it can be found again: the id of a friend request or of a room, the message's place in
-- the room, and whose doing it was.
ALTER TABLE notifications ADD COLUMN subject TEXT;
ALTER TABLE notifications ADD COLUMN seq INTEGER;
ALTER TABLE notifications ADD COLUMN actor_id TEXT;
CREATE INDEX notifications_unread ON notifications (user_id, read_at, id);
CREATE INDEX notifications_by_subject ON notifications (user_id, subject, seq);
CREATE INDEX notifications_by_actor ON notifications (actor_id);

-- One row for each user who was ever told of something. Whoever changes what a user is told of locks it first.
CREATE TABLE inboxes (
    user_id TEXT PRIMARY KEY,
    unread_count INTEGER NOT NULL,
    closed_at INTEGER                        -- the account is gone: nothing is told any more
) WITHOUT ROWID;
INSERT INTO inboxes (user_id, unread_count)
    SELECT user_id, SUM(CASE WHEN read_at IS NULL THEN 1 ELSE 0 END) FROM notifications GROUP BY user_id;

-- What users do not want to be told of: kinds, and the messages of rooms.
CREATE TABLE disabled_kinds (
    user_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    PRIMARY KEY (user_id, kind)
) WITHOUT ROWID;
CREATE TABLE muted_rooms (
    user_id TEXT NOT NULL,
    room_id TEXT NOT NULL,
    muted_until INTEGER,                     -- for ever where there is none
    PRIMARY KEY (user_id, room_id)
) WITHOUT ROWID;
CREATE INDEX muted_rooms_by_room ON muted_rooms (room_id);

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
