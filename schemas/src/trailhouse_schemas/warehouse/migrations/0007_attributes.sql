-- Attributes: what people change later.
-- What all tables have in common is said in 0001_runs.sql.

-- Read as of a moment: per entity and attribute, in order of publication.
CREATE TABLE IF NOT EXISTS attribute_changed (
    occurred_at       DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    producer_id       LowCardinality(String),
    sequence          Int64 CODEC(Delta, ZSTD(1)),
    project           LowCardinality(String),
    run_id            LowCardinality(String),
    attempt           Int64 CODEC(T64, ZSTD(1)),
    rank              Int64 CODEC(T64, ZSTD(1)),
    world_size        Int64 CODEC(T64, ZSTD(1)),
    host              LowCardinality(String),
    principal         LowCardinality(String),
    entity_kind       LowCardinality(String),
    entity_id         String CODEC(ZSTD(1)),
    attribute         LowCardinality(String),
    operation         LowCardinality(String),
    value             String CODEC(ZSTD(1)),
    valid_from        Nullable(DateTime64(6, 'UTC')) CODEC(ZSTD(1)),
    reason            String CODEC(ZSTD(1)),
    _topic            LowCardinality(String),
    _topic_id         LowCardinality(String),
    _partition        Int32,
    _offset           Int64 CODEC(Delta, ZSTD(1)),
    _published_at     DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    _principal        LowCardinality(String),
    _principal_source LowCardinality(String),
    INDEX offsets _offset TYPE minmax GRANULARITY 1,
    INDEX topic_ids _topic_id TYPE bloom_filter GRANULARITY 1,
    PROJECTION sequences (
        SELECT producer_id, _topic_id, _partition, max(sequence), max(_offset), count()
        GROUP BY producer_id, _topic_id, _partition
    )
) ENGINE = MergeTree
ORDER BY (entity_kind, entity_id, attribute, _published_at)
SETTINGS non_replicated_deduplication_window = 100000, fsync_after_insert = 1;
