-- The index of the search: what each message's words begin with (of Korean and the like, what they have in them).

CREATE TABLE message_terms (
    room_id TEXT NOT NULL,
    term TEXT NOT NULL,                      -- at most 16 characters, in small letters
    seq INTEGER NOT NULL,
    PRIMARY KEY (room_id, term, seq)
) WITHOUT ROWID;
-- What a message has in the index goes with its words.
CREATE INDEX message_terms_by_message ON message_terms (room_id, seq);
