-- Whether a task runs until it is stopped or fails.

ALTER TABLE tasks ADD COLUMN daemon INTEGER NOT NULL DEFAULT 0;
