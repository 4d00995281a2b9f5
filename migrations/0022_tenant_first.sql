-- Every row that belongs to a tenant says so itself, and `tenant_id` stands first in each key: a database that is spread
-- over several machines can keep a tenant's rows together, and one that is not reads them from one place.
--
-- Locks: the tables below are locked against everybody (ACCESS EXCLUSIVE) from here to the end of the migration, which
-- writes each of their rows once and builds their keys anew: about a minute for a million versions. Requests wait
-- meanwhile. Who cannot get the locks in 15 seconds, because somebody has a transaction open, gives up and changes nothing.
-- A program of the version before cannot write into what comes out of it; run it when that one has stopped.

SET LOCAL lock_timeout = '15s';

LOCK TABLE credentials, credential_versions, pull_secrets, pull_secret_credentials, consumers, links, import_misses,
    verification_schedule, role_bindings IN ACCESS EXCLUSIVE MODE;

-- No trigger of 0016 fires for what follows: none of these columns is looked at.

ALTER TABLE credential_versions ADD COLUMN tenant_id uuid;
UPDATE credential_versions v SET tenant_id = c.tenant_id FROM credentials c WHERE c.id = v.credential_id;
ALTER TABLE import_misses ADD COLUMN tenant_id uuid;
UPDATE import_misses m SET tenant_id = c.tenant_id FROM credentials c WHERE c.id = m.credential_id;
ALTER TABLE verification_schedule ADD COLUMN tenant_id uuid;
UPDATE verification_schedule s SET tenant_id = c.tenant_id FROM credentials c WHERE c.id = s.credential_id;
ALTER TABLE pull_secret_credentials ADD COLUMN tenant_id uuid;
UPDATE pull_secret_credentials l SET tenant_id = p.tenant_id FROM pull_secrets p WHERE p.id = l.pull_secret_id;
ALTER TABLE consumers ADD COLUMN tenant_id uuid;
UPDATE consumers c SET tenant_id = p.tenant_id FROM pull_secrets p WHERE p.id = c.pull_secret_id;
ALTER TABLE links ADD COLUMN tenant_id uuid;
UPDATE links l SET tenant_id = p.tenant_id FROM pull_secrets p WHERE p.id = l.pull_secret_id;

-- What refers to a key goes before the key. PostgreSQL itself gave all of these their names.
ALTER TABLE credential_versions DROP CONSTRAINT credential_versions_credential_id_fkey;
ALTER TABLE import_misses DROP CONSTRAINT import_misses_credential_id_fkey;
ALTER TABLE verification_schedule DROP CONSTRAINT verification_schedule_credential_id_fkey;
ALTER TABLE pull_secret_credentials
    DROP CONSTRAINT pull_secret_credentials_credential_id_fkey,
    DROP CONSTRAINT pull_secret_credentials_pull_secret_id_fkey;
ALTER TABLE consumers DROP CONSTRAINT consumers_pull_secret_id_fkey;
ALTER TABLE links DROP CONSTRAINT links_pull_secret_id_fkey;

ALTER TABLE credentials DROP CONSTRAINT credentials_pkey, ADD PRIMARY KEY (tenant_id, id);
ALTER TABLE pull_secrets DROP CONSTRAINT pull_secrets_pkey, ADD PRIMARY KEY (tenant_id, id);
ALTER TABLE role_bindings DROP CONSTRAINT role_bindings_pkey, ADD PRIMARY KEY (tenant_id, id);

ALTER TABLE credential_versions
    DROP CONSTRAINT credential_versions_pkey,
    ADD PRIMARY KEY (tenant_id, credential_id, version),
    ADD FOREIGN KEY (tenant_id, credential_id) REFERENCES credentials (tenant_id, id) ON DELETE CASCADE;
ALTER TABLE import_misses
    DROP CONSTRAINT import_misses_pkey,
    ADD PRIMARY KEY (tenant_id, credential_id),
    ADD FOREIGN KEY (tenant_id, credential_id) REFERENCES credentials (tenant_id, id) ON DELETE CASCADE;
ALTER TABLE verification_schedule
    DROP CONSTRAINT verification_schedule_pkey,
    ADD PRIMARY KEY (tenant_id, credential_id),
    ADD FOREIGN KEY (tenant_id, credential_id) REFERENCES credentials (tenant_id, id) ON DELETE CASCADE;
ALTER TABLE pull_secret_credentials
    DROP CONSTRAINT pull_secret_credentials_pkey,
    DROP CONSTRAINT pull_secret_credentials_pull_secret_id_credential_id_key,
    ADD PRIMARY KEY (tenant_id, pull_secret_id, position),
    ADD UNIQUE (tenant_id, pull_secret_id, credential_id),
    ADD FOREIGN KEY (tenant_id, pull_secret_id) REFERENCES pull_secrets (tenant_id, id) ON DELETE CASCADE,
    ADD FOREIGN KEY (tenant_id, credential_id) REFERENCES credentials (tenant_id, id);
ALTER TABLE consumers
    DROP CONSTRAINT consumers_pkey,
    DROP CONSTRAINT consumers_pull_secret_id_caller_key_source_format_key,
    ADD PRIMARY KEY (tenant_id, id),
    ADD UNIQUE (tenant_id, pull_secret_id, caller_key, source, format),
    ADD FOREIGN KEY (tenant_id, pull_secret_id) REFERENCES pull_secrets (tenant_id, id) ON DELETE CASCADE;
-- The hash of 256 random bits needs nobody to see to it that no two are equal.
ALTER TABLE links
    DROP CONSTRAINT links_pkey,
    DROP CONSTRAINT links_hash_key,
    ADD PRIMARY KEY (tenant_id, id),
    ADD FOREIGN KEY (tenant_id, pull_secret_id) REFERENCES pull_secrets (tenant_id, id) ON DELETE CASCADE;
CREATE INDEX links_hash ON links (hash);

-- Tables of the tenants and of the platform, which has no id, keep their keys; they are found by the same expression
-- everywhere, so this one needs its index.
CREATE INDEX idempotent_answers_of_tenant
    ON idempotent_answers (coalesce(tenant_id, '00000000-0000-0000-0000-000000000000'::uuid), id);

DROP INDEX pull_secret_credentials_by_credential;
CREATE INDEX pull_secret_credentials_by_credential ON pull_secret_credentials (tenant_id, credential_id);
DROP INDEX consumers_page;
CREATE INDEX consumers_page ON consumers (tenant_id, pull_secret_id, id);
DROP INDEX links_page;
CREATE INDEX links_page ON links (tenant_id, pull_secret_id, id);
