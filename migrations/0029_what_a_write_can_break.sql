-- A write must find out fast which pull secrets it can break: those whose selector finds the credential, and those in which
-- another credential claims the same path. Copies of the documents' parts that tell, each with its index.
--
-- What hangs on a credential only to be looked at with it no longer asks the database for permission to stay: each foreign
-- key is a look-up for each credential of a deleted tenant. The trigger that counts deletions takes them along instead, in
-- one statement a table.
--
-- Locks: writers of these tables wait while the copies are made, a minute or less for a million credentials; then
-- each table is locked for a moment.

ALTER TABLE credentials ADD COLUMN auth_registry text;
-- What reads JSON here refuses U+0000 wherever it stands in a document; in its place any other character does.
UPDATE credentials c SET auth_registry = replace(v.document, '\u0000', '\u0001')::json -> 'auth_server' ->> 'registry'
  FROM credential_versions v
 WHERE v.tenant_id = c.tenant_id AND v.credential_id = c.id AND v.version = c.version
   AND replace(v.document, '\u0000', '\u0001')::json -> 'auth_server' ->> 'registry' IS NOT NULL;
CREATE INDEX credentials_registry ON credentials (tenant_id, registry);
CREATE INDEX credentials_auth_registry ON credentials (tenant_id, auth_registry) WHERE auth_registry IS NOT NULL;

ALTER TABLE pull_secrets ADD COLUMN selector jsonb;
UPDATE pull_secrets SET selector = (replace(document, '\u0000', '\u0001')::json -> 'selector')::jsonb
 WHERE json_typeof(replace(document, '\u0000', '\u0001')::json -> 'selector') = 'object';
CREATE INDEX pull_secrets_selecting ON pull_secrets (tenant_id) WHERE selector IS NOT NULL;

ALTER TABLE import_misses DROP CONSTRAINT import_misses_tenant_id_credential_id_fkey;
ALTER TABLE verification_schedule DROP CONSTRAINT verification_schedule_tenant_id_credential_id_fkey;

-- RESTRICT, because NO ACTION looks whether the credential has come back meanwhile.
ALTER TABLE pull_secret_credentials
    DROP CONSTRAINT pull_secret_credentials_tenant_id_credential_id_fkey,
    ADD FOREIGN KEY (tenant_id, credential_id) REFERENCES credentials (tenant_id, id) ON DELETE RESTRICT;

CREATE FUNCTION regcred_credentials_gone() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    tenant uuid;
    ids uuid[];
BEGIN
    FOR tenant, ids IN SELECT tenant_id, array_agg(id) FROM changed GROUP BY 1 ORDER BY 1 LOOP
        DELETE FROM verification_schedule s WHERE s.tenant_id = tenant AND s.credential_id = ANY(ids);
        DELETE FROM import_misses m WHERE m.tenant_id = tenant AND m.credential_id = ANY(ids);
        PERFORM regcred_contents_changed(tenant);
    END LOOP;
    RETURN NULL;
END;
$$;

DROP TRIGGER credentials_go ON credentials;
CREATE TRIGGER credentials_go AFTER DELETE ON credentials
    REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION regcred_credentials_gone();
