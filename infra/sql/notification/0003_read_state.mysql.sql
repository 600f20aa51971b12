-- What a user has read, what they want to be told of, and the events that tell of it. For MySQL 8 and MariaDB 10.6 or later.

-- What a notification is about, so that it can be found again: the id of a friend request or of a room, the message's place in
-- the room, and whose doing it was.
ALTER TABLE notifications
    ADD COLUMN subject CHAR(36) CHARACTER SET ascii COLLATE ascii_bin,
    ADD COLUMN seq BIGINT,
    ADD COLUMN actor_id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin,
    ADD KEY notifications_unread (user_id, read_at, id),
    ADD KEY notifications_by_subject (user_id, subject, seq),
    ADD KEY notifications_by_actor (actor_id);

-- One row for each user who was ever told of something. Whoever changes what a user is told of locks it first.
CREATE TABLE inboxes (
    user_id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
    unread_count BIGINT NOT NULL,
    closed_at BIGINT                         -- the account is gone: nothing is told any more
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin ROW_FORMAT = DYNAMIC;
INSERT INTO inboxes (user_id, unread_count)
    SELECT user_id, SUM(CASE WHEN read_at IS NULL THEN 1 ELSE 0 END) FROM notifications GROUP BY user_id;

-- What users do not want to be told of: kinds, and the messages of rooms.
CREATE TABLE disabled_kinds (
    user_id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    kind VARCHAR(50) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    PRIMARY KEY (user_id, kind)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin ROW_FORMAT = DYNAMIC;
CREATE TABLE muted_rooms (
    user_id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    room_id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    muted_until BIGINT,                      -- for ever where there is none
    PRIMARY KEY (user_id, room_id),
    KEY muted_rooms_by_room (room_id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin ROW_FORMAT = DYNAMIC;

-- Events, written in the transaction of the change that they tell of. The publisher takes them to the log, in order of
-- id, and deletes them there. Ids are given at the insert, not at the commit: the events of one key are in order because
-- whoever writes one holds the lock on the row that it tells of.
CREATE TABLE outbox (
    id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    event_id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,       -- CloudEvents id
    topic VARCHAR(100) NOT NULL,
    `key` VARCHAR(100) NOT NULL,             -- CloudEvents partitionkey
    type VARCHAR(100) NOT NULL,              -- CloudEvents type
    data MEDIUMTEXT NOT NULL,                -- JSON
    time BIGINT NOT NULL,                    -- CloudEvents time, milliseconds since the Unix epoch
    channels MEDIUMTEXT NOT NULL,            -- further GRIP channels, separated by spaces
    action VARCHAR(20) NOT NULL DEFAULT 'send'      -- GRIP content action: send, hint, close
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin ROW_FORMAT = DYNAMIC;

-- One row, which the publisher writes before it appends: InnoDB shows a commit to others before it is on disk, and once this later
-- one is, so are the events that were read.
CREATE TABLE outbox_beats (
    id TINYINT UNSIGNED NOT NULL PRIMARY KEY,
    beats BIGINT UNSIGNED NOT NULL
) ENGINE = InnoDB;
INSERT INTO outbox_beats (id, beats) VALUES (1, 0);
