-- Whose tokens are taken beside regcred's own: OpenID Connect issuers, one row a provider. Several
-- providers may share an issuer and differ in their audiences.

CREATE TABLE identity_providers (
    id          uuid PRIMARY KEY,
    name        text COLLATE "C" NOT NULL UNIQUE,
    -- A copy of the document's, which every token is looked up by.
    issuer      text COLLATE "C" NOT NULL,
    -- JSON as text: the provider as written.
    document    text NOT NULL,
    version     bigint NOT NULL,
    created_at  timestamptz NOT NULL,
    updated_at  timestamptz NOT NULL
);

CREATE INDEX identity_providers_issuer ON identity_providers (issuer);
