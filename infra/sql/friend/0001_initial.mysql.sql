-- The friend context: requests and friendships.
-- Times are milliseconds since the Unix epoch. For MySQL 8 and MariaDB 10.6 or later.
-- Ids are ASCII in one canonical form, compared byte by byte.

CREATE TABLE friend_requests (
    id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
    requester_id VARCHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    addressee_id VARCHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    status VARCHAR(10) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,      -- pending, accepted, rejected, cancelled
    created_at BIGINT NOT NULL,
    answered_at BIGINT,
    -- The two people while the request waits, whoever asked: at most one request waits between them. (SQLite says it by an
    -- index with a condition, which neither MySQL nor MariaDB has. MariaDB lets no CHAR into the expression.)
    waiting_pair VARCHAR(72) CHARACTER SET ascii COLLATE ascii_bin GENERATED ALWAYS AS (
        CASE WHEN status = 'pending' THEN CONCAT(LEAST(requester_id, addressee_id), GREATEST(requester_id, addressee_id)) END
    ) STORED,
    UNIQUE KEY friend_requests_pending (waiting_pair),
    KEY friend_requests_by_addressee (addressee_id, status, id),
    KEY friend_requests_by_requester (requester_id, status, id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin ROW_FORMAT = DYNAMIC;

-- Each friendship twice, once from each side, so that a list is one range.
CREATE TABLE friendships (
    user_id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    friend_id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (user_id, friend_id)
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
