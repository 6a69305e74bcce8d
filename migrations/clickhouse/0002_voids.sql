-- Counted events that were taken out of the count again, each by a record of its own. The row of the event stays: it says what was sent,
-- and what an issued line stood on before. A reader leaves out the events whose record (of_partition, of_offset) stands here; a
-- reader with a cut only those whose void lies inside the cut as well.
--
-- tenant_id, event_type, time and identity are the voided event's, so that its bucket and its periods are found from the void alone.
-- of_source and of_id are its name, source and id name the void, replaced_source and replaced_id the event that stands in its place; '' when there is none.
CREATE TABLE IF NOT EXISTS usage_voids (
    tenant_id        String,
    event_type       LowCardinality(String),
    time             DateTime64(9, 'UTC'),
    identity         UInt128,
    of_partition     UInt32,
    of_offset        UInt64,
    of_source        String,
    of_id            String,
    source           String,
    id               String,
    reason           String,
    replaced_source  String,
    replaced_id      String,
    partition        UInt32,
    offset           UInt64,
    epoch            UInt64,
    log_time         DateTime64(6, 'UTC'),
    INDEX offset_range offset TYPE minmax GRANULARITY 1,
    INDEX of_offset_range of_offset TYPE minmax GRANULARITY 1
) ENGINE = MergeTree
PARTITION BY toYYYYMM(time)
ORDER BY (tenant_id, event_type, time, identity)
SETTINGS index_granularity = 1024, fsync_after_insert = 1, fsync_part_directory = 1;
