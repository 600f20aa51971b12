-- Undoes 0002_idempotency: repeats are no longer known.
DROP TABLE idempotency_keys;
