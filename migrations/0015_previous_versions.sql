-- Rotation without an outage: the former version of a credential stays usable until a time.
--
-- Both columns are set or neither is. What is past its time counts as gone wherever it is read; the
-- job that empties the columns only tidies up.

ALTER TABLE credentials
    ADD COLUMN previous_version bigint,
    ADD COLUMN previous_retires_at timestamptz,
    ADD CONSTRAINT credentials_previous CHECK ((previous_version IS NULL) = (previous_retires_at IS NULL));

-- "What is past its time", asked by that job.
CREATE INDEX credentials_retiring ON credentials (previous_retires_at) WHERE previous_retires_at IS NOT NULL;
