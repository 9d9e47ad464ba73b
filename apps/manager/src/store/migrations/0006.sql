-- Tasks that only a trusted execution environment may open: where a key broker keeps the key of
-- their image, perhaps empty; NULL for all others. And what proved where an attempt ran, as JSON.

ALTER TABLE tasks ADD COLUMN image_key TEXT;
ALTER TABLE attempts ADD COLUMN proof TEXT;

-- Few of those that wait are of this kind, and they are looked for often.
CREATE INDEX tasks_attested ON tasks (priority DESC, id) WHERE state = 1 AND image_key IS NOT NULL;
