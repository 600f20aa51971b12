-- Somebody's messages, in all rooms: for their export, and for the end of their account.
-- For MySQL 8 and MariaDB 10.6 or later.

CREATE INDEX messages_by_user ON messages (user_id, id);
