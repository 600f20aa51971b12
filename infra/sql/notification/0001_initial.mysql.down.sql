-- Undoes 0001_initial: everything in the context is gone.
DROP TABLE notifications;
DROP TABLE consumed_events;
