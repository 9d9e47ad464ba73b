-- Whether a task needs the object store: its input is there, or it may print more than a message has
-- room for. And the mark of the store that is this manager's: one row, once there is one.

ALTER TABLE tasks ADD COLUMN stored INTEGER NOT NULL DEFAULT 0;
CREATE TABLE object_store (mark BLOB NOT NULL) STRICT;

-- No kind is to be looked for among many of another, whatever both need.
DROP INDEX tasks_queued;
DROP INDEX tasks_ordinary;
DROP INDEX tasks_attested;
CREATE INDEX tasks_turn ON tasks ((image_key IS NULL), stored, priority DESC, id) WHERE state = 1;
