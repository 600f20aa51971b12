-- The analytics context: counters by hour and by day (UTC).
-- Times are milliseconds since the Unix epoch.

CREATE TABLE counters (
    step TEXT NOT NULL,                      -- hour, day
    starts_at INTEGER NOT NULL,
    metric TEXT NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (step, starts_at, metric)
) WITHOUT ROWID;

-- Who sent something in an hour or a day, so that each counts once.
CREATE TABLE active_users (
    step TEXT NOT NULL,
    starts_at INTEGER NOT NULL,
    user_id TEXT NOT NULL,
    PRIMARY KEY (step, starts_at, user_id)
) WITHOUT ROWID;

-- Events that have had their effect; consumers may get one twice.
CREATE TABLE consumed_events (
    event_id TEXT PRIMARY KEY,
    consumed_at INTEGER NOT NULL
) WITHOUT ROWID;
