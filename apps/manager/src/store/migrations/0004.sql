-- How an attempt ended, in a word.

ALTER TABLE attempts ADD COLUMN exit TEXT;
