-- Tickets for streams. They live for seconds and are good once, so taking one out must be a single step:
-- Spin's key-value has neither expiry nor an atomic take, a DELETE … RETURNING has both.
-- Times are milliseconds since the Unix epoch.

CREATE TABLE tickets (
    hash TEXT PRIMARY KEY,                   -- SHA-256
    user_id TEXT NOT NULL,
    username TEXT NOT NULL,
    session_id TEXT NOT NULL,
    token_expires_at INTEGER NOT NULL,       -- when the token ends that it was got with, and the stream with it
    expires_at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX tickets_by_expiry ON tickets (expires_at);
