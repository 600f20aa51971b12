-- Who is there, and by what. A user is online as long as a relay holds a stream of theirs, or a heartbeat counts.

-- How it stands, as it was told last. Whoever changes by what somebody is there locks this row first.
CREATE TABLE presences (
    user_id TEXT PRIMARY KEY,
    online INTEGER NOT NULL,
    last_seen_at INTEGER                     -- online: since when; offline: until when
) WITHOUT ROWID;

CREATE TABLE presence_holds (
    user_id TEXT NOT NULL,
    holder TEXT NOT NULL,                    -- a relay's id, or 'heartbeat'
    held_until INTEGER,                      -- none as long as the relay holds it
    seen_at INTEGER NOT NULL,
    PRIMARY KEY (user_id, holder)
) WITHOUT ROWID;
CREATE INDEX presence_holds_by_end ON presence_holds (held_until);
CREATE INDEX presence_holds_by_holder ON presence_holds (holder);

-- The relays that report. What one holds ends when it has not reported for so long.
CREATE TABLE presence_leases (
    holder TEXT PRIMARY KEY,
    seq INTEGER NOT NULL,                    -- the number of its last report
    renewed_at INTEGER NOT NULL,
    lease_until INTEGER NOT NULL
) WITHOUT ROWID;
