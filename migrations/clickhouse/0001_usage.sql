-- Usage, counted once. The database is set on the connection, never named here. Statements end with a semicolon at the end of
-- a line and can run again: a crash between two of them is mended by the next start.
--
-- stored_at is the physical time of storing and serves retention alone: business time always comes from the log (log_time), which
-- may follow a test clock that stands months away from the wall clock; a TTL over log_time would then delete live rows.

-- The truth: one row per counted event. Tenant first, then type and time: one tenant's month is one run of the table.
-- A row belongs to one offset of one partition; the minmax indexes make "everything at or after an offset" cheap.
CREATE TABLE IF NOT EXISTS usage_events (
    tenant_id   String,
    event_type  LowCardinality(String),
    time        DateTime64(9, 'UTC'),
    identity    UInt128,
    body_hash   UInt128,
    source      String,
    id          String,
    subject     String,
    numbers     Map(LowCardinality(String), Decimal(38, 18)),
    texts       Map(LowCardinality(String), String),
    unreadable  Array(String),
    partition   UInt32,
    offset      UInt64,
    epoch       UInt64,
    log_time    DateTime64(6, 'UTC'),
    backfill    UInt8,
    INDEX offset_range offset TYPE minmax GRANULARITY 1,
    INDEX partition_range partition TYPE minmax GRANULARITY 1
) ENGINE = MergeTree
PARTITION BY toYYYYMM(time)
ORDER BY (tenant_id, event_type, time, identity)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- Which identities were counted, derived from usage_events. Small granules: a look-up reads single identities.
CREATE TABLE IF NOT EXISTS usage_identities (
    identity    UInt128,
    body_hash   UInt128,
    partition   UInt32,
    offset      UInt64,
    first_seen  DateTime64(6, 'UTC'),
    backfill    UInt8,
    stored_at   DateTime DEFAULT now(),
    INDEX offset_range offset TYPE minmax GRANULARITY 16,
    INDEX seen_range first_seen TYPE minmax GRANULARITY 16
) ENGINE = MergeTree
ORDER BY identity
TTL stored_at + INTERVAL 100 DAY DELETE WHERE backfill = 0
SETTINGS index_granularity = 256, fsync_after_insert = 1, fsync_part_directory = 1;

-- Records whose identity was counted before with the same body: seen, not counted.
CREATE TABLE IF NOT EXISTS usage_repeats (
    tenant_id     String,
    identity      UInt128,
    body_hash     UInt128,
    partition     UInt32,
    offset        UInt64,
    of_partition  UInt32,
    of_offset     UInt64,
    epoch         UInt64,
    log_time      DateTime64(6, 'UTC'),
    stored_at     DateTime DEFAULT now(),
    INDEX offset_range offset TYPE minmax GRANULARITY 1
) ENGINE = MergeTree
ORDER BY (tenant_id, identity, partition, offset)
TTL stored_at + INTERVAL 100 DAY
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- What cannot be counted, with its reason. One row per record: storing a record again, or marking it as resubmitted, replaces it.
CREATE TABLE IF NOT EXISTS dead_letters (
    tenant_id       String,
    topic           LowCardinality(String),
    partition       UInt32,
    offset          UInt64,
    source          String,
    id              String,
    identity        UInt128,
    event_type      String,
    reason          LowCardinality(String),
    field           String,
    detail          String,
    way_out         String,
    payload         String,
    headers         Array(Tuple(name String, value String)),
    log_time        DateTime64(6, 'UTC'),
    epoch           UInt64,
    resubmitted_at  DateTime64(6, 'UTC') DEFAULT fromUnixTimestamp64Micro(0, 'UTC'),
    stored_at       DateTime DEFAULT now(),
    INDEX offset_range offset TYPE minmax GRANULARITY 1
) ENGINE = ReplacingMergeTree(resubmitted_at)
ORDER BY (tenant_id, topic, partition, offset)
TTL stored_at + INTERVAL 100 DAY
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- The epoch of each partition's owner. Every insert compares its own with the highest one here.
CREATE TABLE IF NOT EXISTS usage_fences (
    topic      String,
    partition  UInt32,
    epoch      UInt64
) ENGINE = ReplacingMergeTree(epoch)
ORDER BY (topic, partition)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- Rollups of 15 minutes (UTC), one row per (tenant, meter version, bucket), its groups side by side in arrays: element i of each
-- array belongs to group i. Replaced whole by a higher revision, so a group that disappeared is gone. `amounts` holds what the meter's
-- aggregation needs: the sum (sum, avg), the extreme (max, min) or the latest value. Arrays that it does not need are empty.
CREATE TABLE IF NOT EXISTS usage_buckets (
    tenant_id          String,
    meter              LowCardinality(String),
    meter_version      UInt32,
    bucket_start       DateTime64(9, 'UTC'),
    revision           UInt64,
    groups             Array(Array(String)),
    counts             Array(UInt64),
    unmetered          Array(UInt64),
    amounts            Array(Decimal(76, 18)),
    latest_times       Array(DateTime64(9, 'UTC')),
    latest_identities  Array(UInt128),
    uniques            Array(Array(String))
) ENGINE = ReplacingMergeTree(revision)
PARTITION BY toYYYYMM(bucket_start)
ORDER BY (tenant_id, meter, meter_version, bucket_start)
SETTINGS index_granularity = 1024, fsync_after_insert = 1, fsync_part_directory = 1;
