-- Whether a credential was deleted is asked by its id alone: a row may have had another name, version or tenant when it was.
--
-- Locks: audit_events is read, not written, while the index is made.

-- The id stands last in the detail of both: "id":"...".
DROP INDEX audit_events_of_deleted_tenants;
CREATE INDEX audit_events_of_deletions ON audit_events (right(detail, 44))
    WHERE action IN ('tenant.delete', 'credential.delete');
