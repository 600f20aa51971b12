-- Undoes 0003_blocks: nobody blocks anybody. Requests that were hidden show.
ALTER TABLE friend_requests DROP COLUMN hidden;
DROP TABLE blocks;
DROP TABLE pairs;
