-- Links: URLs that render a pull secret a number of times without a token. Only a hash is kept.

CREATE TABLE links (
    id              uuid PRIMARY KEY,
    pull_secret_id  uuid NOT NULL REFERENCES pull_secrets (id) ON DELETE CASCADE,
    hash            bytea NOT NULL UNIQUE,
    -- JSON: how it renders.
    options         text NOT NULL,
    max_uses        integer NOT NULL CHECK (max_uses > 0),
    uses            integer NOT NULL DEFAULT 0,
    expires_at      timestamptz NOT NULL,
    revoked_at      timestamptz,
    last_used_at    timestamptz,
    -- JSON: kind, id and name of who made it.
    created_by      text NOT NULL,
    -- The token that made it, with which the link dies.
    created_with    uuid,
    created_at      timestamptz NOT NULL,
    -- The database itself lets nobody use one too often.
    CHECK (uses >= 0 AND uses <= max_uses)
);

CREATE INDEX links_page ON links (pull_secret_id, id);
CREATE INDEX links_age ON links (expires_at);
