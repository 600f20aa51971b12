-- What was answered to a request that came with an Idempotency-Key, kept for a day, so that a repeat gets it again.
-- Times are milliseconds since the Unix epoch.

CREATE TABLE idempotency_keys (
    scope TEXT NOT NULL,                     -- whose key it is: a user's id, or the name of a public route
    key_hash TEXT NOT NULL,                  -- SHA-256
    fingerprint TEXT NOT NULL,               -- of the request that it came with first
    answer TEXT,                             -- JSON, or sealed; none only while the change is under way
    created_at INTEGER NOT NULL,
    PRIMARY KEY (scope, key_hash)
) WITHOUT ROWID;
CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_at);
