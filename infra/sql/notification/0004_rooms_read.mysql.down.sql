-- Undoes 0004_rooms_read: nobody knows any more how far users have read.
DROP TABLE rooms_read;
