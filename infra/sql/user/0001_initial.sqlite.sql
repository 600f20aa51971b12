-- The user context: accounts, and the sessions that are signed in to them.
-- Times are milliseconds since the Unix epoch.

CREATE TABLE users (
    id TEXT PRIMARY KEY,
    username TEXT NOT NULL,                  -- as written
    username_key TEXT NOT NULL UNIQUE,       -- as compared: lower case
    email TEXT NOT NULL UNIQUE,              -- lower case
    display_name TEXT NOT NULL,
    display_name_key TEXT NOT NULL,          -- as searched: lower case
    profile_image_url TEXT,
    password_hash TEXT NOT NULL,             -- PHC string
    created_at INTEGER NOT NULL
);
CREATE INDEX users_by_display_name ON users (display_name_key);

CREATE TABLE sessions (
    id TEXT PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (id),
    device TEXT NOT NULL,                    -- User-Agent at login
    created_at INTEGER NOT NULL,
    last_used_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    revoked_at INTEGER
);
CREATE INDEX sessions_by_user ON sessions (user_id);

-- A session's refresh tokens: the one that is good, and those that it replaced, so that a second use is noticed.
CREATE TABLE refresh_tokens (
    hash TEXT PRIMARY KEY,                   -- SHA-256
    session_id TEXT NOT NULL REFERENCES sessions (id),
    created_at INTEGER NOT NULL,
    rotated_at INTEGER
);
CREATE INDEX refresh_tokens_by_session ON refresh_tokens (session_id);

-- Events, written in the transaction of the change that they tell of. The publisher takes them to the log, in order of
-- `id`, and deletes them there.
CREATE TABLE outbox (
    id INTEGER PRIMARY KEY,                  -- order of commit: more than all that are there
    event_id TEXT NOT NULL,                  -- CloudEvents id
    topic TEXT NOT NULL,
    key TEXT NOT NULL,                       -- CloudEvents partitionkey
    type TEXT NOT NULL,                      -- CloudEvents type
    data TEXT NOT NULL,                      -- JSON
    time INTEGER NOT NULL,                   -- CloudEvents time, milliseconds since the Unix epoch
    channels TEXT NOT NULL DEFAULT '',       -- further GRIP channels, separated by spaces
    action TEXT NOT NULL DEFAULT 'send'      -- GRIP content action: send, hint, close
);
