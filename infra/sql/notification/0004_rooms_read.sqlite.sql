-- How far a user has read a room, so that only what came since is looked through when they read on.

CREATE TABLE rooms_read (
    user_id TEXT NOT NULL,
    room_id TEXT NOT NULL,
    seq INTEGER NOT NULL,                    -- nothing up to here is unread
    PRIMARY KEY (user_id, room_id)
) WITHOUT ROWID;

-- What the query planner cannot know of an empty table: that a user has many notifications, and few of one subject or unread.
-- Without it, what is asked of one message is looked for among all that its reader was ever told.
ANALYZE notifications;
DELETE FROM sqlite_stat1 WHERE tbl = 'notifications';
INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES
    ('notifications', 'notifications', '1000000 1000 1'),
    ('notifications', 'notifications_unread', '1000000 1000 100 1'),
    ('notifications', 'notifications_by_subject', '1000000 1000 100 1'),
    ('notifications', 'notifications_by_actor', '1000000 1000');
