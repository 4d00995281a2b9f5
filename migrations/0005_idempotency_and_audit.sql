-- Answers to repeated POSTs, and the trail of what was done.

-- The answer is sealed: that to a new token holds the token.
CREATE TABLE idempotent_answers (
    id              uuid PRIMARY KEY,
    caller_id       uuid NOT NULL,
    key             text COLLATE "C" NOT NULL,
    -- Keyed digest of method, path and body.
    request_digest  bytea NOT NULL,
    -- Whose data key seals the answer; without one, the platform's.
    tenant_id       uuid REFERENCES tenants (id) ON DELETE CASCADE,
    status          smallint NOT NULL,
    answer          bytea NOT NULL,
    created_at      timestamptz NOT NULL,
    UNIQUE (caller_id, key)
);

CREATE INDEX idempotent_answers_age ON idempotent_answers (created_at);

-- Names stand beside ids: an event must be readable after what it speaks of is gone.
CREATE TABLE audit_events (
    id              uuid PRIMARY KEY,
    at              timestamptz NOT NULL,
    tenant_id       uuid,
    tenant          text,
    -- JSON: kind, id and name of who acted.
    actor           text NOT NULL,
    source          text,
    action          text NOT NULL,
    target          text NOT NULL,
    target_version  bigint,
    outcome         text NOT NULL,
    detail          text,
    request_id      uuid NOT NULL
);

CREATE INDEX audit_events_page
    ON audit_events (coalesce(tenant_id, '00000000-0000-0000-0000-000000000000'::uuid), id);
