-- Tokens: of a tenant, or of the platform where there is no tenant. Only a hash is kept.

CREATE TABLE tokens (
    id              uuid PRIMARY KEY,
    tenant_id       uuid REFERENCES tenants (id),
    name            text COLLATE "C" NOT NULL,
    role            text NOT NULL,
    hash            bytea NOT NULL UNIQUE,
    pull_secrets    text[],
    networks        text[],
    expires_at      timestamptz,
    revoked_at      timestamptz,
    last_used_at    timestamptz,
    created_by      text NOT NULL,
    created_at      timestamptz NOT NULL
);

-- A name is free again once its token is revoked, so that a token can be replaced under its name.
CREATE UNIQUE INDEX tokens_name
    ON tokens (coalesce(tenant_id, '00000000-0000-0000-0000-000000000000'::uuid), name)
    WHERE revoked_at IS NULL;

-- Lists page by creation order, which UUIDv7 ids have.
CREATE INDEX tokens_page
    ON tokens (coalesce(tenant_id, '00000000-0000-0000-0000-000000000000'::uuid), id);
