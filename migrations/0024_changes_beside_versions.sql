-- What a credential shows may change without a write, and so without a new version: a try stores what it gave, an overlap
-- ends. The entity tag is the version, which writes are compared with, so a reader who has a version need not have what it
-- shows now. This counts such changes since the version was written.
--
-- Locks: adding a column with a constant default rewrites nothing and holds the table for a moment.

ALTER TABLE credentials ADD COLUMN changes_beside_version bigint NOT NULL DEFAULT 0;
