-- Undoes 0001_initial: everything in the context is gone.
DROP TABLE refresh_tokens;
DROP TABLE sessions;
DROP TABLE users;
DROP TABLE outbox;
DROP TABLE outbox_beats;
