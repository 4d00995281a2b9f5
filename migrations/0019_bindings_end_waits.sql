-- Who waits must hear that a role binding or an identity provider changed: it may end the access that the
-- waiting request was let in with. New ones end nobody's.

CREATE FUNCTION regcred_note_platform_access() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM regcred_access_changed('00000000-0000-0000-0000-000000000000'::uuid);
    RETURN NULL;
END;
$$;

DO $$
BEGIN
    IF to_regclass('role_bindings') IS NOT NULL THEN
        CREATE CONSTRAINT TRIGGER role_bindings_change AFTER UPDATE OR DELETE ON role_bindings
            DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION regcred_note_access();
    END IF;
    IF to_regclass('identity_providers') IS NOT NULL THEN
        CREATE CONSTRAINT TRIGGER identity_providers_change AFTER UPDATE OR DELETE ON identity_providers
            DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION regcred_note_platform_access();
    END IF;
END;
$$;
