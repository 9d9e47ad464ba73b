-- Fingerprint of the key that had signed the image of a task when it was named, 32 bytes; NULL where
-- nobody had to have signed it.

ALTER TABLE tasks ADD COLUMN image_signed BLOB;
