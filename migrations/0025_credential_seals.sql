-- The state of a credential gets a seal: which version is the current one, which former one is usable until when, and
-- what it is found by. Without one, whoever writes to the database could make an older version the current one, or have
-- a retired one rendered again. Empty in rows from before; a job fills it (docs/keys.md).

ALTER TABLE credentials ADD COLUMN seal bytea;

CREATE INDEX credentials_without_seal ON credentials (id) WHERE seal IS NULL;

-- "Has it been written since?", asked of the trail once by each server and credential.
CREATE INDEX audit_events_of_versions ON audit_events
    (coalesce(tenant_id, '00000000-0000-0000-0000-000000000000'::uuid), target COLLATE "C", target_version)
    WHERE action IN ('credential.write', 'credential.retire');
