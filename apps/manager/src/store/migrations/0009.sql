-- How often in a row the object store did not answer an attempt of this run: the pauses before the next
-- one grow with it.

ALTER TABLE tasks ADD COLUMN store_away INTEGER NOT NULL DEFAULT 0;
