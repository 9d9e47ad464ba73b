-- Tasks whose module is in an image: its reference, by digest, and whether it is encrypted.

ALTER TABLE tasks ADD COLUMN image TEXT;
ALTER TABLE tasks ADD COLUMN image_encrypted INTEGER NOT NULL DEFAULT 0;
