-- Two tables of transitions are not joined any more (0023): for thousands of rows that took seconds.
--
-- Locks: none; each function is replaced for the statements that come.

-- What a trigger asks is planned once a session, for as many rows as the first statement had. Two tables of transitions
-- are therefore not joined, which for one row is done by looking at all for each, but subtracted.

CREATE OR REPLACE FUNCTION regcred_count_credentials() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    tenant uuid;
BEGIN
    FOR tenant IN
        WITH old AS (SELECT tenant_id, id, name, version, registry, labels, expires_at, verification_state,
                            previous_version, previous_retires_at FROM before),
             new AS (SELECT tenant_id, id, name, version, registry, labels, expires_at, verification_state,
                            previous_version, previous_retires_at FROM changed)
        SELECT tenant_id FROM ((TABLE old EXCEPT TABLE new) UNION ALL (TABLE new EXCEPT TABLE old)) AS differ
         GROUP BY 1 ORDER BY 1
    LOOP
        PERFORM regcred_contents_changed(tenant);
    END LOOP;
    RETURN NULL;
END;
$$;

CREATE OR REPLACE FUNCTION regcred_count_tokens() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    tenant uuid;
BEGIN
    FOR tenant IN
        WITH old AS (SELECT tenant_id, id, hash, role, pull_secrets, networks, expires_at, revoked_at FROM before),
             new AS (SELECT tenant_id, id, hash, role, pull_secrets, networks, expires_at, revoked_at FROM changed)
        SELECT coalesce(tenant_id, '00000000-0000-0000-0000-000000000000'::uuid)
          FROM ((TABLE old EXCEPT TABLE new) UNION ALL (TABLE new EXCEPT TABLE old)) AS differ
         GROUP BY 1 ORDER BY 1
    LOOP
        PERFORM regcred_access_changed(tenant);
    END LOOP;
    RETURN NULL;
END;
$$;

-- LIMIT keeps it from being turned into a join that reads all credentials.
CREATE OR REPLACE FUNCTION regcred_count_versions_in_use() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    tenant uuid;
BEGIN
    FOR tenant IN
        SELECT g.tenant_id FROM changed g
         CROSS JOIN LATERAL (SELECT 1 FROM credentials c
                              WHERE c.tenant_id = g.tenant_id AND c.id = g.credential_id
                                AND g.version IN (c.version, c.previous_version) LIMIT 1) AS used
         GROUP BY 1 ORDER BY 1
    LOOP
        PERFORM regcred_contents_changed(tenant);
    END LOOP;
    RETURN NULL;
END;
$$;
