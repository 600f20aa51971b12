-- The chat context: rooms, who is in them, and what was said.
-- Times are milliseconds since the Unix epoch. For MySQL 8 and MariaDB 10.6 or later.
--
-- Ids are ASCII in one canonical form. What is looked up and comes from people is VARBINARY: compared byte by byte, as
-- SQLite does.

CREATE TABLE rooms (
    id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
    room_type VARCHAR(10) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,   -- direct, group
    name VARCHAR(100),
    owner_id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin,
    direct_key CHAR(73) CHARACTER SET ascii COLLATE ascii_bin UNIQUE,       -- the two users of a direct room: one room per pair
    last_seq BIGINT NOT NULL DEFAULT 0,      -- the newest message's place
    last_activity_at BIGINT NOT NULL,
    created_at BIGINT NOT NULL
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin ROW_FORMAT = DYNAMIC;

CREATE TABLE participants (
    room_id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    user_id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    username VARCHAR(50) NOT NULL,
    joined_at BIGINT NOT NULL,
    last_read_seq BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (room_id, user_id),
    KEY participants_by_user (user_id),
    FOREIGN KEY (room_id) REFERENCES rooms (id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin ROW_FORMAT = DYNAMIC;

CREATE TABLE messages (
    id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    room_id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    seq BIGINT NOT NULL,                     -- 1, 2, 3, … in its room, without a gap
    user_id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    username VARCHAR(50) NOT NULL,
    content TEXT,                            -- 65,535 bytes: 4,000 characters take at most 16,000
    message_type VARCHAR(10) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,        -- text, image, file
    -- A sender's own name for a message, unique for ever: a repeated send finds the first.
    client_message_id VARBINARY(64),
    reply_to CHAR(36) CHARACTER SET ascii COLLATE ascii_bin,
    created_at BIGINT NOT NULL,
    edited_at BIGINT,
    deleted_at BIGINT,
    PRIMARY KEY (room_id, seq),              -- a room's messages lie together, in their order
    UNIQUE KEY messages_by_id (id),
    UNIQUE KEY messages_by_client_message_id (user_id, client_message_id),
    FOREIGN KEY (room_id) REFERENCES rooms (id)
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
