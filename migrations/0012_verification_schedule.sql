-- When each credential is tried next. A table of its own: it is written at each try, while the rows of
-- credentials are read at each rendering and should not be rewritten for it.

CREATE TABLE verification_schedule (
    credential_id       uuid PRIMARY KEY REFERENCES credentials (id) ON DELETE CASCADE,
    -- The account and the host that this is about; with either changed, it starts anew.
    secret_changed_at   timestamptz NOT NULL,
    host                text NOT NULL,
    due_at              timestamptz NOT NULL,
    -- A replica tries it until then; if it has not said so by that time, it has died.
    claimed_until       timestamptz,
    -- Rejections in a row: each doubles the time to the next try.
    rejections          integer NOT NULL DEFAULT 0,
    -- The `expires_at` that was warned of.
    warned_of           timestamptz
);

CREATE INDEX verification_schedule_due ON verification_schedule (due_at);

-- The longest due of each host.
CREATE INDEX verification_schedule_host ON verification_schedule (host, due_at);

-- How many are tried at a host just now.
CREATE INDEX verification_schedule_claimed ON verification_schedule (host) WHERE claimed_until IS NOT NULL;
