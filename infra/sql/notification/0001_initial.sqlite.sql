-- The notification context: what each user is told of later.
-- Times are milliseconds since the Unix epoch.

CREATE TABLE notifications (
    id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    data TEXT NOT NULL,                      -- JSON
    created_at INTEGER NOT NULL,
    read_at INTEGER,
    PRIMARY KEY (user_id, id)                -- ids sort by time: a user's list is one range
) WITHOUT ROWID;

-- The events whose effect is here, so that a repeat has none. Ids sort by time: old ones are cut off at the low end.
CREATE TABLE consumed_events (
    event_id TEXT PRIMARY KEY,
    consumed_at INTEGER NOT NULL
) WITHOUT ROWID;
