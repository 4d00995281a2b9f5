-- Who fetched a pull secret, and which state of it. A row for each caller, address and format, so that
-- callers never wait for each other's rows.

CREATE TABLE consumers (
    id                  uuid PRIMARY KEY,
    pull_secret_id      uuid NOT NULL REFERENCES pull_secrets (id) ON DELETE CASCADE,
    -- Kind and id of the caller: what stays the same when its name does not.
    caller_key          text NOT NULL,
    -- JSON: kind, id and name.
    caller              text NOT NULL,
    -- Empty where the address is not known.
    source              text NOT NULL,
    format              text NOT NULL,
    -- JSON: how it was rendered, so that it can be told whether the same would differ now.
    options             text NOT NULL,
    fingerprint         text NOT NULL,
    pull_secret_version bigint NOT NULL,
    -- JSON: name, version and secret version of each credential.
    credentials         text NOT NULL,
    first_fetched_at    timestamptz NOT NULL,
    last_fetched_at     timestamptz NOT NULL,
    UNIQUE (pull_secret_id, caller_key, source, format)
);

CREATE INDEX consumers_page ON consumers (pull_secret_id, id);
CREATE INDEX consumers_age ON consumers (last_fetched_at);
