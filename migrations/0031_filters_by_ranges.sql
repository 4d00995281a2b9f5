-- Each rendering adds an event, and six indexes that only filters read were half of what that cost the database.
--
-- Who acted, from where and by which request is now found by ranges of the table: events are added in order of time, and
-- a few bits say which actors, addresses and requests a range may hold. A range that is still being filled is read
-- as a whole. Actions keep their index without renderings, which are most of the trail: whoever asks for those finds
-- them in order of time.
--
-- Locks: who adds events waits while the indexes are built, about a second for a million events.

DROP INDEX audit_events_by_actor_name;
DROP INDEX audit_events_by_actor_id;
DROP INDEX audit_events_by_request;
DROP INDEX audit_events_by_source;
DROP INDEX audit_events_by_action;

-- 512 KiB of events are about 450.
CREATE INDEX audit_events_by_origin ON audit_events USING brin (
    actor_id COLLATE "C" text_bloom_ops (n_distinct_per_range = 64),
    actor_name COLLATE "C" text_bloom_ops (n_distinct_per_range = 64),
    source text_bloom_ops (n_distinct_per_range = 128),
    request_id uuid_bloom_ops (n_distinct_per_range = 512)
) WITH (pages_per_range = 64, autosummarize = on);

CREATE INDEX audit_events_by_action ON audit_events
    (coalesce(tenant_id, '00000000-0000-0000-0000-000000000000'::uuid), action COLLATE "C", id)
    WHERE action <> 'manifest.render';
