-- A draft that is kept in memory was checked against the seals of its credentials, so a change of a seal counts as one of
-- the contents, too.

CREATE OR REPLACE FUNCTION regcred_count_credentials() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    tenant uuid;
BEGIN
    FOR tenant IN
        SELECT DISTINCT t.tenant_id FROM changed n JOIN before o ON o.id = n.id
         CROSS JOIN LATERAL (VALUES (o.tenant_id), (n.tenant_id)) AS t (tenant_id)
         WHERE (o.tenant_id, o.name, o.version, o.registry, o.labels, o.expires_at, o.verification_state,
                o.previous_version, o.previous_retires_at, o.seal)
               IS DISTINCT FROM
               (n.tenant_id, n.name, n.version, n.registry, n.labels, n.expires_at, n.verification_state,
                n.previous_version, n.previous_retires_at, n.seal)
         ORDER BY 1
    LOOP
        PERFORM regcred_contents_changed(tenant);
    END LOOP;
    RETURN NULL;
END;
$$;
