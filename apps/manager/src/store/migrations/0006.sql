-- Tasks that only a trusted execution environment may open: where a key broker keeps the key of
-- their image, perhaps empty; NULL for all others. And what proved where an attempt ran, as JSON.

ALTER TABLE tasks ADD COLUMN image_key TEXT;
ALTER TABLE attempts ADD COLUMN proof TEXT;
-- Binding of the session in which it was given, 32 bytes, of a task of that kind.
ALTER TABLE attempts ADD COLUMN session BLOB;

-- Neither kind is to be looked for among many of the other.
CREATE INDEX tasks_ordinary ON tasks (priority DESC, id) WHERE state = 1 AND image_key IS NULL;
CREATE INDEX tasks_attested ON tasks (priority DESC, id) WHERE state = 1 AND image_key IS NOT NULL;
