-- The audit trail becomes checkable: each event has a place in one of 32 chains ("lanes") and a
-- keyed hash over itself, its place and the event before it; each lane's row says where it ends.
--
-- Many lanes, because a writer holds one from its event to its commit, and writers must not wait for
-- each other. A new event takes the first lane that nobody holds.

ALTER TABLE audit_events
    ADD COLUMN lane     smallint,
    ADD COLUMN seq      bigint,
    -- The data key of the platform that the hash's key is derived from.
    ADD COLUMN key_id   uuid,
    ADD COLUMN mac      bytea,
    -- Without a seal: written by a command that has no keys, or before there were seals. The server
    -- seals both when it next looks.
    ADD CONSTRAINT audit_events_seal CHECK (num_nulls(lane, seq, key_id, mac) IN (0, 4));

CREATE UNIQUE INDEX audit_events_place ON audit_events (lane, seq);
CREATE INDEX audit_events_unsealed ON audit_events (id) WHERE lane IS NULL;

-- Data keys that events were sealed with: they are kept for the check, whatever else they protect.
CREATE TABLE audit_keys (
    key_id      uuid PRIMARY KEY REFERENCES data_keys (id)
);

CREATE TABLE audit_lanes (
    lane        smallint PRIMARY KEY,
    -- The last event.
    seq         bigint NOT NULL,
    mac         bytea NOT NULL,
    -- The last event that retention removed.
    base_seq    bigint NOT NULL,
    base_mac    bytea NOT NULL,
    -- Both are null until the first event of all.
    key_id      uuid REFERENCES audit_keys (key_id),
    -- Keyed hash over all of the above.
    head        bytea,
    CHECK ((key_id IS NULL) = (head IS NULL)),
    CHECK (0 <= base_seq AND base_seq <= seq)
    -- One page, and room in it for the versions that updates leave.
) WITH (fillfactor = 25);

INSERT INTO audit_lanes (lane, seq, mac, base_seq, base_mac)
SELECT lane, 0, decode(repeat('00', 32), 'hex'), 0, decode(repeat('00', 32), 'hex')
  FROM generate_series(1, 32) AS lane;
