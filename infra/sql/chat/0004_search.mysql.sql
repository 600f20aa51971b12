-- The index of the search: what each message's words begin with (of Korean and the like, what they have in them).
-- For MySQL 8 and MariaDB 10.6 or later.

CREATE TABLE message_terms (
    room_id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    term VARBINARY(64) NOT NULL,             -- at most 16 characters, in small letters
    seq BIGINT NOT NULL,
    PRIMARY KEY (room_id, term, seq),
    -- What a message has in the index goes with its words.
    KEY message_terms_by_message (room_id, seq)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin ROW_FORMAT = DYNAMIC;
