-- Undoes 0003_read_state: nobody knows any more how many are unread, and what users did not want to be told of.
DROP TABLE outbox;
DROP TABLE outbox_beats;
DROP TABLE muted_rooms;
DROP TABLE disabled_kinds;
DROP TABLE inboxes;
ALTER TABLE notifications
    DROP KEY notifications_unread,
    DROP KEY notifications_by_subject,
    DROP KEY notifications_by_actor,
    DROP COLUMN subject,
    DROP COLUMN seq,
    DROP COLUMN actor_id;
