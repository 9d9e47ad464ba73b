-- The trace that a task's owner named, as a W3C traceparent.

ALTER TABLE tasks ADD COLUMN trace TEXT;
