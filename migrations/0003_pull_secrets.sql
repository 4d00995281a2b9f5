-- Pull secrets and the credentials that they list by name. What a selector finds is asked anew at
-- each rendering and stands nowhere.

CREATE TABLE pull_secrets (
    id          uuid PRIMARY KEY,
    tenant_id   uuid NOT NULL REFERENCES tenants (id),
    name        text COLLATE "C" NOT NULL,
    version     bigint NOT NULL,
    -- JSON as text: the pull secret as written, without `credentials`.
    document    text NOT NULL,
    created_at  timestamptz NOT NULL,
    updated_at  timestamptz NOT NULL,
    UNIQUE (tenant_id, name)
);

CREATE TABLE pull_secret_credentials (
    pull_secret_id  uuid NOT NULL REFERENCES pull_secrets (id) ON DELETE CASCADE,
    position        integer NOT NULL,
    credential_id   uuid NOT NULL REFERENCES credentials (id),
    PRIMARY KEY (pull_secret_id, position),
    UNIQUE (pull_secret_id, credential_id)
);

-- "Which pull secrets list this credential", asked at each write and delete of one.
CREATE INDEX pull_secret_credentials_by_credential ON pull_secret_credentials (credential_id);
