-- Whether a credential was written or deleted since, or its tenant deleted, is asked of the trail whenever its row is
-- read from the database: one server's memory of what it met says nothing of what others wrote.

DROP INDEX audit_events_of_versions;
CREATE INDEX audit_events_of_versions ON audit_events
    (coalesce(tenant_id, '00000000-0000-0000-0000-000000000000'::uuid), target COLLATE "C", target_version)
    WHERE action IN ('credential.write', 'credential.retire', 'credential.delete');

-- A deleted tenant by its id, which its event's detail ends with: "id":"...".
CREATE INDEX audit_events_of_deleted_tenants ON audit_events (right(detail, 44)) WHERE action = 'tenant.delete';
