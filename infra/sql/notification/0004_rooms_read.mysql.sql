-- How far a user has read a room, so that only what came since is looked through when they read on. For MySQL 8 and MariaDB 10.6
-- or later.

CREATE TABLE rooms_read (
    user_id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    room_id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    seq BIGINT NOT NULL,                     -- nothing up to here is unread
    PRIMARY KEY (user_id, room_id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin ROW_FORMAT = DYNAMIC;
