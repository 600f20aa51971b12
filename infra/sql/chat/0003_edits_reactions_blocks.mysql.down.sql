-- Undoes 0003_edits_reactions_blocks: reactions, earlier versions and blocks are gone.
DROP TABLE consumed_events;
DROP TABLE blocks;
ALTER TABLE rooms DROP COLUMN closed_at;
DROP TABLE message_edits;
ALTER TABLE messages DROP COLUMN reactions;
