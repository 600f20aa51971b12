-- The analytics context: counters by hour and by day (UTC).
-- Times are milliseconds since the Unix epoch. For MySQL 8 and MariaDB 10.6 or later.

CREATE TABLE counters (
    step VARCHAR(30) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,     -- hour, day
    starts_at BIGINT NOT NULL,
    metric VARCHAR(30) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    count BIGINT NOT NULL,
    PRIMARY KEY (step, starts_at, metric)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin ROW_FORMAT = DYNAMIC;

-- Who sent something in an hour or a day, so that each counts once.
CREATE TABLE active_users (
    step VARCHAR(30) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    starts_at BIGINT NOT NULL,
    user_id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    PRIMARY KEY (step, starts_at, user_id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin ROW_FORMAT = DYNAMIC;

-- Events that have had their effect; consumers may get one twice. They are another producer's words: compared byte by byte.
CREATE TABLE consumed_events (
    event_id VARBINARY(255) NOT NULL PRIMARY KEY,
    consumed_at BIGINT NOT NULL
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin ROW_FORMAT = DYNAMIC;
