-- What those who wait for a change hear of.
--
-- Each tenant has two numbers: one grows with every write that can change a rendering, the other with
-- every write that can end a caller's access. They grow by triggers, so that no writer can forget
-- them, in the transaction of the write, and a notification goes with them. Who cannot listen (behind
-- a proxy that pools transactions) reads the numbers instead.
--
-- The numbers stand in rows of their own, which are locked at the very end of a transaction (the
-- triggers are deferred): no transaction waits for another while it holds one, so none can wait for
-- each other.

CREATE TABLE tenant_changes (
    -- Without a foreign key: that a tenant is gone is a change too. The nil UUID is the platform.
    tenant_id   uuid PRIMARY KEY,
    contents    bigint NOT NULL,
    access      bigint NOT NULL
);

CREATE FUNCTION regcred_contents_changed(tenant uuid) RETURNS void LANGUAGE sql AS $$
    INSERT INTO tenant_changes AS known (tenant_id, contents, access) VALUES (tenant, 1, 0)
        ON CONFLICT (tenant_id) DO UPDATE SET contents = known.contents + 1;
    SELECT pg_notify('regcred_changes', tenant::text);
$$;

CREATE FUNCTION regcred_access_changed(tenant uuid) RETURNS void LANGUAGE sql AS $$
    INSERT INTO tenant_changes AS known (tenant_id, contents, access) VALUES (tenant, 0, 1)
        ON CONFLICT (tenant_id) DO UPDATE SET access = known.access + 1;
    SELECT pg_notify('regcred_changes', tenant::text);
$$;

CREATE FUNCTION regcred_note_contents() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        PERFORM regcred_contents_changed(OLD.tenant_id);
    ELSE
        PERFORM regcred_contents_changed(NEW.tenant_id);
    END IF;
    RETURN NULL;
END;
$$;

CREATE FUNCTION regcred_note_access() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM regcred_access_changed(coalesce(OLD.tenant_id, '00000000-0000-0000-0000-000000000000'::uuid));
    RETURN NULL;
END;
$$;

CREATE CONSTRAINT TRIGGER credentials_come_and_go AFTER INSERT OR DELETE ON credentials
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION regcred_note_contents();

-- A rejected verification is a warning, which scripts hold as a comment.
CREATE CONSTRAINT TRIGGER credentials_change AFTER UPDATE ON credentials
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN ((OLD.version, OLD.verification_state, OLD.previous_version, OLD.previous_retires_at)
          IS DISTINCT FROM (NEW.version, NEW.verification_state, NEW.previous_version, NEW.previous_retires_at))
    EXECUTE FUNCTION regcred_note_contents();

-- Each change of the list of credentials is a new version too.
CREATE CONSTRAINT TRIGGER pull_secrets_change AFTER INSERT OR UPDATE OR DELETE ON pull_secrets
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION regcred_note_contents();

CREATE CONSTRAINT TRIGGER tokens_revoked AFTER UPDATE ON tokens
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN (OLD.revoked_at IS DISTINCT FROM NEW.revoked_at)
    EXECUTE FUNCTION regcred_note_access();

CREATE CONSTRAINT TRIGGER tokens_go AFTER DELETE ON tokens
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION regcred_note_access();
