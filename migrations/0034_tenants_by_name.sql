-- Whoever makes or deletes a tenant asks the trail whom its name meant before.
--
-- Locks: audit_events is read, not written, while the index is made.

CREATE INDEX audit_events_of_tenants ON audit_events (target COLLATE "C", id)
    WHERE action IN ('tenant.write', 'tenant.delete');
