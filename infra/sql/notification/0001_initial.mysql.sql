-- The notification context: what each user is told of later.
-- Times are milliseconds since the Unix epoch. For MySQL 8 and MariaDB 10.6 or later.

CREATE TABLE notifications (
    id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    user_id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    kind VARCHAR(50) NOT NULL,
    data TEXT NOT NULL,                      -- JSON
    created_at BIGINT NOT NULL,
    read_at BIGINT,
    PRIMARY KEY (user_id, id)                -- ids sort by time: a user's list is one range
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin ROW_FORMAT = DYNAMIC;

-- The events whose effect is here, so that a repeat has none. Ids sort by time: old ones are cut off at the low end. They are
-- another producer's words: compared byte by byte.
CREATE TABLE consumed_events (
    event_id VARBINARY(255) NOT NULL PRIMARY KEY,
    consumed_at BIGINT NOT NULL
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin ROW_FORMAT = DYNAMIC;
