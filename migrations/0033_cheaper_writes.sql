-- A write of a credential costs the database half of what it did: its row is replaced in place, and counting the change is
-- planned once a session.
--
-- Locks: credentials and credential_versions are read, not written, while the index is made (seconds for a million rows).

-- An index whose condition names a column keeps each update of that column from being one in place, and a seal changes with
-- every write. What is looked for there is told as well by its versions, which are never updated by a write.
DROP INDEX credentials_without_seal;
CREATE INDEX credential_versions_of_former_seals ON credential_versions (tenant_id, credential_id, version)
    WHERE substring(secret FROM 1 FOR 1) = '\x02'::bytea;

-- Room for the next state of a row on its own page.
ALTER TABLE credentials SET (fillfactor = 85);

-- What SQL functions say is planned at each call.
CREATE OR REPLACE FUNCTION regcred_contents_changed(tenant uuid) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO tenant_changes AS known (tenant_id, contents, access) VALUES (tenant, 1, 0)
        ON CONFLICT (tenant_id) DO UPDATE SET contents = known.contents + 1;
    PERFORM pg_notify('regcred_changes', tenant::text);
END;
$$;

CREATE OR REPLACE FUNCTION regcred_access_changed(tenant uuid) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO tenant_changes AS known (tenant_id, contents, access) VALUES (tenant, 0, 1)
        ON CONFLICT (tenant_id) DO UPDATE SET access = known.access + 1;
    PERFORM pg_notify('regcred_changes', tenant::text);
END;
$$;
