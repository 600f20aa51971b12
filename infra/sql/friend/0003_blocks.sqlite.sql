-- Who blocks whom, and what is between two people, in one row: changes of a pair lock it.

-- The first is the one whose id sorts first. Lists are read from the other tables, which change with this one.
CREATE TABLE pairs (
    first_id TEXT NOT NULL,
    second_id TEXT NOT NULL,
    request_id TEXT,                         -- the newest request of one to the other
    friends_since INTEGER,
    first_blocks_since INTEGER,
    second_blocks_since INTEGER,
    PRIMARY KEY (first_id, second_id)
) WITHOUT ROWID;
CREATE INDEX pairs_by_second ON pairs (second_id, first_id);
INSERT INTO pairs (first_id, second_id, friends_since)
    SELECT user_id, friend_id, created_at FROM friendships WHERE user_id < friend_id;
INSERT OR IGNORE INTO pairs (first_id, second_id, request_id)
    SELECT min(requester_id, addressee_id), max(requester_id, addressee_id), id
    FROM friend_requests WHERE status = 'pending';

CREATE TABLE blocks (
    user_id TEXT NOT NULL,                   -- who blocks
    blocked_user_id TEXT NOT NULL,           -- whom
    created_at INTEGER NOT NULL,
    PRIMARY KEY (user_id, blocked_user_id)
) WITHOUT ROWID;
CREATE INDEX blocks_by_blocked ON blocks (blocked_user_id, user_id);

-- Whether the addressee does not know of the request: they block, or blocked, the requester.
ALTER TABLE friend_requests ADD COLUMN hidden INTEGER NOT NULL DEFAULT 0;
