-- Undoes 0005_messages_by_user.
DROP INDEX messages_by_user ON messages;
