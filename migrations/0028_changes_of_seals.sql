-- A draft that is kept in memory was checked against the seals of its credentials, so a change of a seal counts as one of
-- the contents, too.
--
-- Locks: none; the function is replaced for the statements that come.

CREATE OR REPLACE FUNCTION regcred_count_credentials() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    tenant uuid;
BEGIN
    FOR tenant IN
        WITH old AS (SELECT tenant_id, id, name, version, registry, labels, expires_at, verification_state,
                            previous_version, previous_retires_at, seal FROM before),
             new AS (SELECT tenant_id, id, name, version, registry, labels, expires_at, verification_state,
                            previous_version, previous_retires_at, seal FROM changed)
        SELECT tenant_id FROM ((TABLE old EXCEPT TABLE new) UNION ALL (TABLE new EXCEPT TABLE old)) AS differ
         GROUP BY 1 ORDER BY 1
    LOOP
        PERFORM regcred_contents_changed(tenant);
    END LOOP;
    RETURN NULL;
END;
$$;
