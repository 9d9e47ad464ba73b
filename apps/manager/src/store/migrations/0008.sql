-- A mark that is about to be written into an object store is remembered before: whoever crashes in
-- between finds out that the store is its own.

ALTER TABLE object_store ADD COLUMN pending INTEGER NOT NULL DEFAULT 0;
