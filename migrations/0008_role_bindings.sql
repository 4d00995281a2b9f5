-- What the callers of an identity provider may do in a tenant. Asked anew at each request, so a change
-- is effective on every replica at the next one.

CREATE TABLE role_bindings (
    id                      uuid PRIMARY KEY,
    tenant_id               uuid NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    name                    text COLLATE "C" NOT NULL,
    identity_provider_id    uuid NOT NULL REFERENCES identity_providers (id),
    -- Copies of the document's: the role tells whether an owner is left, the end is filtered by.
    role                    text NOT NULL,
    expires_at              timestamptz,
    -- The `sub` claim where the binding wants exactly one; a provider may have thousands of bindings, and
    -- a token is compared with those of its subject only.
    subject                 text COLLATE "C",
    -- JSON as text: the binding as written.
    document                text NOT NULL,
    version                 bigint NOT NULL,
    created_at              timestamptz NOT NULL,
    updated_at              timestamptz NOT NULL,
    UNIQUE (tenant_id, name)
);

CREATE INDEX role_bindings_subject ON role_bindings (identity_provider_id, subject);
