-- Somebody's messages, in all rooms: for their export, and for the end of their account.

CREATE INDEX messages_by_user ON messages (user_id, id);
