-- Events on their way to the webhook. Written in the transaction of what they tell of and deleted when
-- they were taken, so each arrives at least once, whichever replica dies.

CREATE TABLE webhook_deliveries (
    id          uuid PRIMARY KEY,
    -- The body, exactly as it is signed and sent.
    body        text NOT NULL,
    attempts    integer NOT NULL DEFAULT 0,
    next_at     timestamptz NOT NULL,
    created_at  timestamptz NOT NULL
);

CREATE INDEX webhook_deliveries_next ON webhook_deliveries (next_at);
