-- Tenants, and the data keys that protect what they store.
--
-- Names are compared and sorted by bytes (COLLATE "C"): pages are cut at a name, and every server
-- must cut at the same place whatever its locale.

CREATE TABLE tenants (
    id          uuid PRIMARY KEY,
    name        text COLLATE "C" NOT NULL UNIQUE,
    -- JSON as text: description and labels. Text, because jsonb refuses U+0000 in strings.
    document    text NOT NULL,
    version     bigint NOT NULL,
    created_at  timestamptz NOT NULL,
    updated_at  timestamptz NOT NULL
);

-- A data key without a tenant is the platform's own.
CREATE TABLE data_keys (
    id          uuid PRIMARY KEY,
    tenant_id   uuid REFERENCES tenants (id) ON DELETE CASCADE,
    version     integer NOT NULL,
    -- Which key-encryption key, of which provider and version, wraps it.
    kek_id      text NOT NULL,
    wrapped     bytea NOT NULL,
    created_at  timestamptz NOT NULL
);

-- PostgreSQL 14 has no NULLS NOT DISTINCT; the nil UUID is no tenant's id.
CREATE UNIQUE INDEX data_keys_version
    ON data_keys (coalesce(tenant_id, '00000000-0000-0000-0000-000000000000'::uuid), version);
