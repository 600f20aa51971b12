-- Who is there, and by what. A user is online as long as a relay holds a stream of theirs, or a heartbeat counts.
-- For MySQL 8 and MariaDB 10.6 or later.

-- How it stands, as it was told last. Whoever changes by what somebody is there locks this row first.
CREATE TABLE presences (
    user_id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
    online BIGINT NOT NULL,
    last_seen_at BIGINT                      -- online: since when; offline: until when
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin ROW_FORMAT = DYNAMIC;

CREATE TABLE presence_holds (
    user_id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    holder VARCHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,      -- a relay's id, or 'heartbeat'
    held_until BIGINT,                       -- none as long as the relay holds it
    seen_at BIGINT NOT NULL,
    PRIMARY KEY (user_id, holder),
    KEY presence_holds_by_end (held_until),
    KEY presence_holds_by_holder (holder)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin ROW_FORMAT = DYNAMIC;

-- The relays that report. What one holds ends when it has not reported for so long.
CREATE TABLE presence_leases (
    holder VARCHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
    seq BIGINT NOT NULL,                     -- the number of its last report
    renewed_at BIGINT NOT NULL,
    lease_until BIGINT NOT NULL
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin ROW_FORMAT = DYNAMIC;
