-- Credentials: one row for the current state, and one for each of the last versions.
--
-- Secrets stand only in credential_versions, sealed for exactly that row (tenant, credential,
-- version, field), so a row that is moved or rolled back does not open.

CREATE TABLE credentials (
    id                  uuid PRIMARY KEY,
    tenant_id           uuid NOT NULL REFERENCES tenants (id),
    name                text COLLATE "C" NOT NULL,
    version             bigint NOT NULL,
    -- Copies of what lists filter by; the current version's document is what counts.
    registry            text NOT NULL,
    labels              jsonb NOT NULL,
    expires_at          timestamptz,
    secret_changed_at   timestamptz NOT NULL,
    verification_state  text NOT NULL DEFAULT 'unverified',
    verification        text,
    created_at          timestamptz NOT NULL,
    updated_at          timestamptz NOT NULL,
    UNIQUE (tenant_id, name)
);

CREATE INDEX credentials_labels ON credentials USING gin (labels jsonb_path_ops);

CREATE TABLE credential_versions (
    credential_id   uuid NOT NULL REFERENCES credentials (id) ON DELETE CASCADE,
    version         bigint NOT NULL,
    -- JSON as text: the credential as written, without secrets.
    document        text NOT NULL,
    secret          bytea NOT NULL,
    -- The version at which this secret was given: names the secret without saying anything of it.
    secret_revision bigint NOT NULL,
    auth_secret     bytea,
    auth_secret_revision bigint,
    -- JSON: who wrote it.
    created_by      text NOT NULL,
    created_at      timestamptz NOT NULL,
    PRIMARY KEY (credential_id, version),
    CHECK ((auth_secret IS NULL) = (auth_secret_revision IS NULL))
);
