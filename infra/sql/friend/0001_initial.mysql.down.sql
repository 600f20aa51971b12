-- Undoes 0001_initial: everything in the context is gone.
DROP TABLE friend_requests;
DROP TABLE friendships;
DROP TABLE outbox;
DROP TABLE outbox_beats;
