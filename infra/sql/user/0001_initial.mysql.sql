-- The user context: accounts, and the sessions that are signed in to them.
-- Times are milliseconds since the Unix epoch. For MySQL 8 and MariaDB 10.6 or later.
--
-- Ids are ASCII in one canonical form. What is looked up and comes from people is VARBINARY: compared byte by byte, as
-- SQLite does, so that neither case nor a space at the end nor a composed character counts as the same. Every length is
-- in bytes there, four for each character that the rules allow.

CREATE TABLE users (
    id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
    username VARCHAR(50) NOT NULL,           -- as written
    username_key VARBINARY(200) NOT NULL UNIQUE,    -- as compared: lower case
    email VARBINARY(1016) NOT NULL UNIQUE,   -- lower case
    display_name VARCHAR(50) NOT NULL,
    display_name_key VARBINARY(200) NOT NULL,       -- as searched: lower case
    profile_image_url VARCHAR(2048),
    password_hash VARCHAR(255) NOT NULL,     -- PHC string
    created_at BIGINT NOT NULL,
    KEY users_by_display_name (display_name_key)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin ROW_FORMAT = DYNAMIC;

CREATE TABLE sessions (
    id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
    user_id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    device VARCHAR(200) NOT NULL,            -- User-Agent at login
    created_at BIGINT NOT NULL,
    last_used_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    revoked_at BIGINT,
    KEY sessions_by_user (user_id),
    FOREIGN KEY (user_id) REFERENCES users (id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin ROW_FORMAT = DYNAMIC;

-- A session's refresh tokens: the one that is good, and those that it replaced, so that a second use is noticed.
CREATE TABLE refresh_tokens (
    hash CHAR(43) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,    -- SHA-256, base64url
    session_id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    created_at BIGINT NOT NULL,
    rotated_at BIGINT,
    KEY refresh_tokens_by_session (session_id),
    FOREIGN KEY (session_id) REFERENCES sessions (id)
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
