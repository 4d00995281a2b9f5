-- What readers of the trail filter by: copies of the actor's id and name, and indexes that keep a
-- page's price the same at any depth. All texts by bytes (COLLATE "C"), so that prefixes use them too.

ALTER TABLE audit_events
    ADD COLUMN actor_id     text,
    ADD COLUMN actor_name   text;

UPDATE audit_events SET actor_id = actor::json ->> 'id', actor_name = actor::json ->> 'name';

CREATE INDEX audit_events_by_action ON audit_events
    (coalesce(tenant_id, '00000000-0000-0000-0000-000000000000'::uuid), action COLLATE "C", id);
CREATE INDEX audit_events_by_target ON audit_events
    (coalesce(tenant_id, '00000000-0000-0000-0000-000000000000'::uuid), target COLLATE "C", id);
CREATE INDEX audit_events_by_actor_name ON audit_events (actor_name COLLATE "C", id);
CREATE INDEX audit_events_by_actor_id ON audit_events (actor_id COLLATE "C", id);
CREATE INDEX audit_events_by_request ON audit_events (request_id);
CREATE INDEX audit_events_by_source ON audit_events (source, id);
-- What did not work is looked for, and rare.
CREATE INDEX audit_events_by_trouble ON audit_events
    (coalesce(tenant_id, '00000000-0000-0000-0000-000000000000'::uuid), outcome, id) WHERE outcome <> 'success';
