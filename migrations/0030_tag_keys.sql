-- The entity tag of a rendering is a keyed digest of its bytes: equal exactly where they are, on every replica and after
-- every rotation of keys, and of no use to who has the tag alone. Each tenant has a key for it, made when it first
-- renders. A table of its own: whoever renders must not wait for those who write in the tenant and hold its row.

CREATE TABLE tag_keys (
    tenant_id  uuid PRIMARY KEY REFERENCES tenants (id) ON DELETE CASCADE,
    -- 256 random bits, sealed with a data key of the tenant (docs/keys.md).
    key        bytea NOT NULL
);
