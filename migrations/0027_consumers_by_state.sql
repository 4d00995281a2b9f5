-- A consumer is one for each way of rendering: who fetched a pull secret for another namespace holds another Secret,
-- which may be older. Of two fetches at the same time the one that read the newer state counts, whatever clocks say:
-- the number is that of tenant_changes. Rows of before were noted by clocks, and any newer fetch stands over them.
--
-- Locks: the table is locked against everybody while the new key is built, a second for 100,000 consumers; renderings
-- wait meanwhile.

ALTER TABLE consumers
    ADD COLUMN contents bigint NOT NULL DEFAULT 0,
    DROP CONSTRAINT consumers_tenant_id_pull_secret_id_caller_key_source_format_key,
    ADD CONSTRAINT consumers_one_a_way UNIQUE (tenant_id, pull_secret_id, caller_key, source, options);
ALTER TABLE consumers ALTER COLUMN contents DROP DEFAULT;
