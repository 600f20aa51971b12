-- The friend context: requests and friendships.
-- Times are milliseconds since the Unix epoch.

CREATE TABLE friend_requests (
    id TEXT PRIMARY KEY,
    requester_id TEXT NOT NULL,
    addressee_id TEXT NOT NULL,
    status TEXT NOT NULL,                    -- pending, accepted, rejected, cancelled
    created_at INTEGER NOT NULL,
    answered_at INTEGER
);
CREATE INDEX friend_requests_by_addressee ON friend_requests (addressee_id, status, id);
CREATE INDEX friend_requests_by_requester ON friend_requests (requester_id, status, id);
-- Between two people at most one request waits in each direction.
CREATE UNIQUE INDEX friend_requests_pending ON friend_requests (requester_id, addressee_id) WHERE status = 'pending';

-- Each friendship twice, once from each side, so that a list is one range.
CREATE TABLE friendships (
    user_id TEXT NOT NULL,
    friend_id TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (user_id, friend_id)
) WITHOUT ROWID;

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
