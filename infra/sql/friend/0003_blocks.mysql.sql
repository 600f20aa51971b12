-- Who blocks whom, and what is between two people, in one row: changes of a pair lock it.

-- The first is the one whose id sorts first. Lists are read from the other tables, which change with this one.
CREATE TABLE pairs (
    first_id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    second_id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    request_id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin,     -- the newest request of one to the other
    friends_since BIGINT,
    first_blocks_since BIGINT,
    second_blocks_since BIGINT,
    PRIMARY KEY (first_id, second_id),
    KEY pairs_by_second (second_id, first_id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin ROW_FORMAT = DYNAMIC;
INSERT INTO pairs (first_id, second_id, friends_since)
    SELECT user_id, friend_id, created_at FROM friendships WHERE user_id < friend_id;
INSERT IGNORE INTO pairs (first_id, second_id, request_id)
    SELECT LEAST(requester_id, addressee_id), GREATEST(requester_id, addressee_id), id
    FROM friend_requests WHERE status = 'pending';

CREATE TABLE blocks (
    user_id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,            -- who blocks
    blocked_user_id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,    -- whom
    created_at BIGINT NOT NULL,
    PRIMARY KEY (user_id, blocked_user_id),
    KEY blocks_by_blocked (blocked_user_id, user_id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin ROW_FORMAT = DYNAMIC;

-- Whether the addressee does not know of the request: they block, or blocked, the requester.
ALTER TABLE friend_requests ADD COLUMN hidden BOOLEAN NOT NULL DEFAULT FALSE;
