-- Messages can be edited and reacted to, rooms can end, and who blocks whom is known here.
-- Times are milliseconds since the Unix epoch. For MySQL 8 and MariaDB 10.6 or later.

-- Who reacted, as JSON: [{"emoji", "user_ids"}]. A message and its reactions are one thing that is read far more often than it
-- changes; so a page of messages is one query.
ALTER TABLE messages ADD COLUMN reactions TEXT;          -- 65,535 bytes: a thousand reactions take at most 42,000

-- What a message said before it was edited.
CREATE TABLE message_edits (
    message_id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    number BIGINT NOT NULL,                  -- 1, 2, 3, …
    content TEXT NOT NULL,
    replaced_at BIGINT NOT NULL,
    PRIMARY KEY (message_id, number)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin ROW_FORMAT = DYNAMIC;

-- Nobody can write any more: a group that was deleted, or a direct room whose other one is gone.
ALTER TABLE rooms ADD COLUMN closed_at BIGINT;

-- Who blocks whom, as the friend context tells it: a copy, for direct rooms.
CREATE TABLE blocks (
    pair CHAR(73) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,           -- as rooms.direct_key
    blocker_id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    blocked_id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    PRIMARY KEY (pair, blocker_id),
    KEY blocks_by_blocker (blocker_id),
    KEY blocks_by_blocked (blocked_id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin ROW_FORMAT = DYNAMIC;

-- The events whose effect is in this database, by their ids: whatever comes twice has it once.
CREATE TABLE consumed_events (
    event_id VARBINARY(255) NOT NULL PRIMARY KEY,
    consumed_at BIGINT NOT NULL
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin ROW_FORMAT = DYNAMIC;
