-- Undoes 0001_initial: everything in the context is gone.
DROP TABLE counters;
DROP TABLE active_users;
DROP TABLE consumed_events;
