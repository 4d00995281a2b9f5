-- An import tells whether an account is stored already, which means that a secret is compared with a
-- stored one for somebody who may not read it. This counts how often another secret was tried against a
-- credential without replacing it, so that guessing comes to an end. See docs/import.md.

CREATE TABLE import_misses (
    credential_id   uuid PRIMARY KEY REFERENCES credentials (id) ON DELETE CASCADE,
    -- The first of the misses that are counted.
    since           timestamptz NOT NULL,
    misses          integer NOT NULL
);
