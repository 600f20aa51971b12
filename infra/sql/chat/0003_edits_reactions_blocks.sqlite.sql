-- Messages can be edited and reacted to, rooms can end, and who blocks whom is known here.
-- Times are milliseconds since the Unix epoch.

-- Who reacted, as JSON: [{"emoji", "user_ids"}]. A message and its reactions are one thing that is read far more often than it
-- changes; so a page of messages is one query.
ALTER TABLE messages ADD COLUMN reactions TEXT;

-- What a message said before it was edited.
CREATE TABLE message_edits (
    message_id TEXT NOT NULL,
    number INTEGER NOT NULL,                 -- 1, 2, 3, …
    content TEXT NOT NULL,
    replaced_at INTEGER NOT NULL,
    PRIMARY KEY (message_id, number)
) WITHOUT ROWID;

-- Nobody can write any more: a group that was deleted, or a direct room whose other one is gone.
ALTER TABLE rooms ADD COLUMN closed_at INTEGER;

-- Who blocks whom, as the friend context tells it: a copy, for direct rooms.
CREATE TABLE blocks (
    pair TEXT NOT NULL,                      -- as rooms.direct_key
    blocker_id TEXT NOT NULL,
    blocked_id TEXT NOT NULL,
    PRIMARY KEY (pair, blocker_id)
) WITHOUT ROWID;
CREATE INDEX blocks_by_blocker ON blocks (blocker_id);
CREATE INDEX blocks_by_blocked ON blocks (blocked_id);

-- The events whose effect is in this database, by their ids: whatever comes twice has it once.
CREATE TABLE consumed_events (
    event_id TEXT NOT NULL PRIMARY KEY,
    consumed_at INTEGER NOT NULL
) WITHOUT ROWID;
