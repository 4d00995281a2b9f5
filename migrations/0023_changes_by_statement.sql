-- The numbers of 0016 grow once a statement, not once a row: a deferred trigger for each of 10,000 rows updates one row of
-- tenant_changes 10,000 times, and each update steps over what all the former ones left.
--
-- A trigger for a statement cannot be deferred, so a transaction holds the tenant's numbers from its first write on. No two
-- can wait for each other for all that: whoever writes in a tenant what is counted here holds the tenant's row first (or,
-- for the platform, does nothing else afterwards that waits), and who writes in several tenants takes one transaction for
-- each. docs/architecture.md says so under "Waiting".
--
-- What may be remembered together with the numbers is counted as a whole: sealed values that a rotation wrote anew, and
-- new role bindings and providers, which change nothing for those who wait but what a remembered caller may do.
--
-- Locks: each table against writers for a moment.

DROP TRIGGER credentials_come_and_go ON credentials;
DROP TRIGGER credentials_change ON credentials;
DROP TRIGGER pull_secrets_change ON pull_secrets;
DROP TRIGGER tokens_revoked ON tokens;
DROP TRIGGER tokens_go ON tokens;
DROP TRIGGER role_bindings_change ON role_bindings;
DROP TRIGGER identity_providers_change ON identity_providers;
DROP FUNCTION regcred_note_contents();
DROP FUNCTION regcred_note_access();
DROP FUNCTION regcred_note_platform_access();

-- Rows that came or went. Tenants in order of their ids, here and below.
CREATE FUNCTION regcred_count_contents() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    tenant uuid;
BEGIN
    FOR tenant IN SELECT DISTINCT tenant_id FROM changed ORDER BY 1 LOOP
        PERFORM regcred_contents_changed(tenant);
    END LOOP;
    RETURN NULL;
END;
$$;

CREATE FUNCTION regcred_count_access() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    tenant uuid;
BEGIN
    FOR tenant IN SELECT DISTINCT coalesce(tenant_id, '00000000-0000-0000-0000-000000000000'::uuid) FROM changed ORDER BY 1 LOOP
        PERFORM regcred_access_changed(tenant);
    END LOOP;
    RETURN NULL;
END;
$$;

-- Everything of a credential but what its last try said in detail, and when that was: a rendering shows neither. A
-- rejection it does show, as a warning.
CREATE FUNCTION regcred_count_credentials() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    tenant uuid;
BEGIN
    FOR tenant IN
        SELECT DISTINCT t.tenant_id FROM changed n JOIN before o ON o.id = n.id
         CROSS JOIN LATERAL (VALUES (o.tenant_id), (n.tenant_id)) AS t (tenant_id)
         WHERE (o.tenant_id, o.name, o.version, o.registry, o.labels, o.expires_at, o.verification_state,
                o.previous_version, o.previous_retires_at)
               IS DISTINCT FROM
               (n.tenant_id, n.name, n.version, n.registry, n.labels, n.expires_at, n.verification_state,
                n.previous_version, n.previous_retires_at)
         ORDER BY 1
    LOOP
        PERFORM regcred_contents_changed(tenant);
    END LOOP;
    RETURN NULL;
END;
$$;

-- Versions go with each write; only one that is still rendered is missed.
CREATE FUNCTION regcred_count_versions_in_use() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    tenant uuid;
BEGIN
    FOR tenant IN
        SELECT DISTINCT g.tenant_id FROM changed g
          JOIN credentials c ON c.tenant_id = g.tenant_id AND c.id = g.credential_id
         WHERE g.version IN (c.version, c.previous_version) ORDER BY 1
    LOOP
        PERFORM regcred_contents_changed(tenant);
    END LOOP;
    RETURN NULL;
END;
$$;

-- A token's last use changes at nearly every request, and nothing else with it.
CREATE FUNCTION regcred_count_tokens() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    tenant uuid;
BEGIN
    FOR tenant IN
        SELECT DISTINCT coalesce(t.tenant_id, '00000000-0000-0000-0000-000000000000'::uuid)
          FROM changed n JOIN before o ON o.id = n.id
         CROSS JOIN LATERAL (VALUES (o.tenant_id), (n.tenant_id)) AS t (tenant_id)
         WHERE (o.tenant_id, o.hash, o.role, o.pull_secrets, o.networks, o.expires_at, o.revoked_at)
               IS DISTINCT FROM (n.tenant_id, n.hash, n.role, n.pull_secrets, n.networks, n.expires_at, n.revoked_at)
         ORDER BY 1
    LOOP
        PERFORM regcred_access_changed(tenant);
    END LOOP;
    RETURN NULL;
END;
$$;

CREATE FUNCTION regcred_count_tenants() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    tenant uuid;
BEGIN
    FOR tenant IN SELECT id FROM changed ORDER BY 1 LOOP
        PERFORM regcred_contents_changed(tenant);
        PERFORM regcred_access_changed(tenant);
    END LOOP;
    RETURN NULL;
END;
$$;

CREATE FUNCTION regcred_count_platform_access() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM regcred_access_changed('00000000-0000-0000-0000-000000000000'::uuid);
    RETURN NULL;
END;
$$;

CREATE TRIGGER credentials_come AFTER INSERT ON credentials
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION regcred_count_contents();
CREATE TRIGGER credentials_change AFTER UPDATE ON credentials
    REFERENCING OLD TABLE AS before NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION regcred_count_credentials();
CREATE TRIGGER credentials_go AFTER DELETE ON credentials
    REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION regcred_count_contents();

-- New versions come with a change of their credential.
CREATE TRIGGER credential_versions_change AFTER UPDATE ON credential_versions
    REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION regcred_count_contents();
CREATE TRIGGER credential_versions_go AFTER DELETE ON credential_versions
    REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION regcred_count_versions_in_use();

-- Each change of the list of credentials is a new version of its pull secret.
CREATE TRIGGER pull_secrets_come AFTER INSERT ON pull_secrets
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION regcred_count_contents();
CREATE TRIGGER pull_secrets_change AFTER UPDATE ON pull_secrets
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION regcred_count_contents();
CREATE TRIGGER pull_secrets_go AFTER DELETE ON pull_secrets
    REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION regcred_count_contents();

CREATE TRIGGER tokens_change AFTER UPDATE ON tokens
    REFERENCING OLD TABLE AS before NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION regcred_count_tokens();
CREATE TRIGGER tokens_go AFTER DELETE ON tokens
    REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION regcred_count_access();

CREATE TRIGGER role_bindings_come AFTER INSERT ON role_bindings
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION regcred_count_access();
CREATE TRIGGER role_bindings_change AFTER UPDATE ON role_bindings
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION regcred_count_access();
CREATE TRIGGER role_bindings_go AFTER DELETE ON role_bindings
    REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION regcred_count_access();

CREATE TRIGGER identity_providers_change AFTER INSERT OR UPDATE OR DELETE ON identity_providers
    FOR EACH STATEMENT EXECUTE FUNCTION regcred_count_platform_access();

CREATE TRIGGER tenants_go AFTER DELETE ON tenants
    REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION regcred_count_tenants();
