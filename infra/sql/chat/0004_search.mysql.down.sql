-- Undoes 0004_search: the index is gone, and with it what the search finds.
DROP TABLE message_terms;
