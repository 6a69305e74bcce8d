-- The log of a one-machine installation: record batches, their offsets, consumer groups.
--
-- Record batches are rows of log.batches, divided by topic and then by the UTC day of the append, so that retention drops
-- whole tables. Runtime roles own no table: whatever needs DDL is a SECURITY DEFINER function below.
-- Lock order, everywhere: producer row, then partition rows in (topic, partition) order, then the advisory lock for ranges,
-- then tables. Log tables are global (records of all tenants share a topic); no tenant-facing query reads them.

CREATE SCHEMA IF NOT EXISTS log;

CREATE TABLE IF NOT EXISTS log.topics (
    topic             text PRIMARY KEY,
    -- Names the child tables: a topic's name may be longer than an identifier.
    number            integer GENERATED ALWAYS AS IDENTITY UNIQUE,
    partitions        integer NOT NULL CHECK (partitions > 0),
    retention_seconds bigint NOT NULL CHECK (retention_seconds > 0)
);

CREATE TABLE IF NOT EXISTS log.partitions (
    topic            text NOT NULL REFERENCES log.topics,
    partition        integer NOT NULL,
    -- The offset the next record gets.
    next_offset      bigint NOT NULL DEFAULT 0,
    -- The earliest offset that retention has left.
    start_offset     bigint NOT NULL DEFAULT 0,
    -- Append times never run backwards within a partition, whatever the clocks of the writers do.
    last_appended_at timestamptz NOT NULL DEFAULT '-infinity',
    PRIMARY KEY (topic, partition)
) WITH (fillfactor = 50);

CREATE TABLE IF NOT EXISTS log.batches (
    topic        text NOT NULL,
    partition    integer NOT NULL,
    base_offset  bigint NOT NULL,
    record_count integer NOT NULL CHECK (record_count > 0),
    appended_at  timestamptz NOT NULL,
    -- Size of the records before compression; bounds what a reader asks for.
    record_bytes integer NOT NULL,
    payload      bytea NOT NULL,
    PRIMARY KEY (topic, partition, base_offset, appended_at)
) PARTITION BY LIST (topic);
-- The payload is compressed already.
ALTER TABLE log.batches ALTER COLUMN payload SET STORAGE EXTERNAL;

-- The child tables by append time, so that retention need not parse names.
CREATE TABLE IF NOT EXISTS log.ranges (
    topic      text NOT NULL REFERENCES log.topics,
    starts_at  timestamptz NOT NULL,
    ends_at    timestamptz NOT NULL,
    table_name text NOT NULL UNIQUE,
    PRIMARY KEY (topic, starts_at)
);

-- One row per writing process: the answer to its last group commit, so that a commit whose outcome was not heard is asked
-- for again and never written twice.
CREATE TABLE IF NOT EXISTS log.producers (
    producer      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    last_sequence bigint NOT NULL DEFAULT 0,
    base_offsets  bigint[] NOT NULL DEFAULT '{}',
    used_at       timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (fillfactor = 50);

-- Consumer groups. Leases are judged by the database's clock alone.
CREATE TABLE IF NOT EXISTS log.groups (
    group_name text NOT NULL,
    topic      text NOT NULL REFERENCES log.topics,
    PRIMARY KEY (group_name, topic)
);

CREATE SEQUENCE IF NOT EXISTS log.member_numbers;

CREATE TABLE IF NOT EXISTS log.members (
    group_name  text NOT NULL,
    topic       text NOT NULL,
    member      bigint NOT NULL,
    lease_until timestamptz NOT NULL,
    PRIMARY KEY (group_name, topic, member),
    FOREIGN KEY (group_name, topic) REFERENCES log.groups
);

CREATE TABLE IF NOT EXISTS log.group_partitions (
    group_name  text NOT NULL,
    topic       text NOT NULL,
    partition   integer NOT NULL,
    owner       bigint,
    -- Raised each time the partition is taken; a commit must name the one it was given.
    generation  bigint NOT NULL DEFAULT 0,
    next_offset bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (group_name, topic, partition),
    FOREIGN KEY (group_name, topic) REFERENCES log.groups
) WITH (fillfactor = 50);

-- Makes the topic if it is missing; answers its partition count, which the caller compares with what it expects.
CREATE OR REPLACE FUNCTION log.ensure_topic(p_topic text, p_partitions integer, p_retention_seconds bigint)
RETURNS integer LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE
    v_number   integer;
    v_existing integer;
    v_child    text;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('log.ranges', 0));
    SELECT partitions INTO v_existing FROM log.topics WHERE topic = p_topic;
    IF FOUND THEN
        IF v_existing = p_partitions THEN
            UPDATE log.topics SET retention_seconds = p_retention_seconds
            WHERE topic = p_topic AND retention_seconds <> p_retention_seconds;
        END IF;
        RETURN v_existing;
    END IF;
    INSERT INTO log.topics (topic, partitions, retention_seconds)
    VALUES (p_topic, p_partitions, p_retention_seconds) RETURNING number INTO v_number;
    INSERT INTO log.partitions (topic, partition) SELECT p_topic, p FROM generate_series(0, p_partitions - 1) p;
    v_child := format('batches_%s', v_number);
    -- Made apart and attached: unlike CREATE … PARTITION OF this lets readers and writers of other topics go on.
    EXECUTE format('CREATE TABLE log.%I (LIKE log.batches INCLUDING STORAGE INCLUDING CONSTRAINTS) PARTITION BY RANGE (appended_at)', v_child);
    EXECUTE format('ALTER TABLE log.batches ATTACH PARTITION log.%I FOR VALUES IN (%L)', v_child, p_topic);
    RETURN p_partitions;
END $$;

-- Makes the table of the UTC day that holds p_at. Answers whether it was missing.
CREATE OR REPLACE FUNCTION log.ensure_range(p_topic text, p_at timestamptz)
RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
DECLARE
    v_number integer;
    v_start  timestamptz := date_trunc('day', p_at, 'UTC');
    v_end    timestamptz := v_start + interval '24 hours';
    v_child  text;
BEGIN
    IF EXISTS (SELECT FROM log.ranges WHERE topic = p_topic AND starts_at = v_start) THEN
        RETURN false;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended('log.ranges', 0));
    IF EXISTS (SELECT FROM log.ranges WHERE topic = p_topic AND starts_at = v_start) THEN
        RETURN false;
    END IF;
    SELECT number INTO STRICT v_number FROM log.topics WHERE topic = p_topic;
    v_child := format('batches_%s_%s', v_number, to_char(v_start AT TIME ZONE 'UTC', 'YYYYMMDD'));
    EXECUTE format('CREATE TABLE log.%I (LIKE log.batches INCLUDING STORAGE INCLUDING CONSTRAINTS)', v_child);
    EXECUTE format('ALTER TABLE log.%I ATTACH PARTITION log.%I FOR VALUES FROM (%L) TO (%L)',
                   format('batches_%s', v_number), v_child, v_start, v_end);
    INSERT INTO log.ranges (topic, starts_at, ends_at, table_name) VALUES (p_topic, v_start, v_end, v_child);
    RETURN true;
END $$;

-- Drops every day of the topic that ended before p_now minus its retention. Answers how many. Gives up (an error) rather
-- than stand in front of the writers behind a long reader, such as a backup.
CREATE OR REPLACE FUNCTION log.drop_expired(p_topic text, p_now timestamptz)
RETURNS integer LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog SET lock_timeout = '3s' AS $$
DECLARE
    v_range   record;
    v_dropped integer := 0;
BEGIN
    PERFORM FROM log.partitions WHERE topic = p_topic ORDER BY partition FOR UPDATE;
    PERFORM pg_advisory_xact_lock(hashtextextended('log.ranges', 0));
    FOR v_range IN
        SELECT r.table_name, r.starts_at FROM log.ranges r JOIN log.topics t USING (topic)
        WHERE r.topic = p_topic AND r.ends_at <= p_now - make_interval(secs => t.retention_seconds)
        ORDER BY r.starts_at
    LOOP
        EXECUTE format(
            'UPDATE log.partitions p SET start_offset = greatest(p.start_offset, b.past)
             FROM (SELECT partition, max(base_offset + record_count) AS past FROM log.%I GROUP BY partition) b
             WHERE p.topic = $1 AND p.partition = b.partition', v_range.table_name) USING p_topic;
        EXECUTE format('DROP TABLE log.%I', v_range.table_name);
        DELETE FROM log.ranges WHERE topic = p_topic AND starts_at = v_range.starts_at;
        v_dropped := v_dropped + 1;
    END LOOP;
    -- A process that has not written for a week has no commit left to ask about.
    DELETE FROM log.producers WHERE used_at < clock_timestamp() - interval '7 days';
    RETURN v_dropped;
END $$;

REVOKE ALL ON FUNCTION log.ensure_topic(text, integer, bigint), log.ensure_range(text, timestamptz),
    log.drop_expired(text, timestamptz) FROM PUBLIC;
GRANT USAGE ON SCHEMA log TO talea_app, talea_worker;
GRANT EXECUTE ON FUNCTION log.ensure_topic(text, integer, bigint), log.ensure_range(text, timestamptz),
    log.drop_expired(text, timestamptz) TO talea_app, talea_worker;
GRANT SELECT ON ALL TABLES IN SCHEMA log TO talea_app, talea_worker;
GRANT INSERT ON log.batches, log.producers TO talea_app, talea_worker;
GRANT UPDATE ON log.partitions, log.producers TO talea_app, talea_worker;
GRANT INSERT, UPDATE, DELETE ON log.groups, log.members, log.group_partitions TO talea_app, talea_worker;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA log TO talea_app, talea_worker;
