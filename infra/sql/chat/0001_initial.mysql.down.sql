-- Undoes 0001_initial: everything in the context is gone.
DROP TABLE messages;
DROP TABLE participants;
DROP TABLE rooms;
DROP TABLE outbox;
DROP TABLE outbox_beats;
