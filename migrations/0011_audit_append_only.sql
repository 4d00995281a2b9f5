-- The trail is append-only for whoever does not own its table: no event is changed, none removed
-- but those below a lane's base, which only retention moves, and which is hashed under a key that the
-- database does not have. docs/audit.md has the GRANTs of a role of the program's own.

CREATE FUNCTION audit_events_refuse() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        IF OLD.seq <= (SELECT base_seq FROM audit_lanes WHERE lane = OLD.lane) THEN
            RETURN OLD;
        END IF;
    ELSIF TG_OP = 'UPDATE' THEN
        -- An event without a seal gets one, and nothing else changes.
        IF OLD.lane IS NULL AND NEW.lane IS NOT NULL
           AND to_jsonb(OLD) - '{lane,seq,key_id,mac}'::text[] = to_jsonb(NEW) - '{lane,seq,key_id,mac}'::text[] THEN
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION 'the audit trail is append-only' USING ERRCODE = 'insufficient_privilege';
END
$$;

CREATE TRIGGER audit_events_append_only BEFORE UPDATE OR DELETE ON audit_events
    FOR EACH ROW EXECUTE FUNCTION audit_events_refuse();
CREATE TRIGGER audit_events_no_truncate BEFORE TRUNCATE ON audit_events
    FOR EACH STATEMENT EXECUTE FUNCTION audit_events_refuse();

-- A lane only grows.
CREATE TRIGGER audit_lanes_grow BEFORE UPDATE ON audit_lanes
    FOR EACH ROW
    WHEN (NEW.lane <> OLD.lane OR NEW.seq < OLD.seq OR NEW.base_seq < OLD.base_seq OR NEW.head IS NULL)
    EXECUTE FUNCTION audit_events_refuse();
CREATE TRIGGER audit_lanes_stay BEFORE DELETE OR TRUNCATE ON audit_lanes
    FOR EACH STATEMENT EXECUTE FUNCTION audit_events_refuse();
