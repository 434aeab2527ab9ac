-- What could not be landed, whole, with its reason. What all tables have in common is said in 0001_runs.sql.
--
-- Asked per topic, grouped by reason, and by place; messages are kept as they came, so the table is by month of the
-- broker's time and compressed harder than others. producer_id and sequence come from the message's header, which can
-- be read even where the value cannot: the accounting of loss counts a dead letter as accounted for.
CREATE TABLE IF NOT EXISTS dead_letters (
    event_type        LowCardinality(String),
    producer_id       LowCardinality(String),
    sequence          Nullable(Int64) CODEC(ZSTD(1)),
    reason            LowCardinality(String),
    detail            String CODEC(ZSTD(3)),
    message_key       Nullable(String) CODEC(ZSTD(3)),
    headers           Array(Tuple(name String, value String)) CODEC(ZSTD(3)),
    value             Nullable(String) CODEC(ZSTD(3)),
    collector_version LowCardinality(String),
    _topic            LowCardinality(String),
    _topic_id         LowCardinality(String),
    _partition        Int32,
    _offset           Int64 CODEC(Delta, ZSTD(1)),
    _published_at     DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    _principal        LowCardinality(String),
    _principal_source LowCardinality(String),
    INDEX offsets _offset TYPE minmax GRANULARITY 1,
    INDEX topic_ids _topic_id TYPE bloom_filter GRANULARITY 1,
    INDEX by_producer_id producer_id TYPE bloom_filter GRANULARITY 1
) ENGINE = MergeTree
PARTITION BY toYYYYMM(_published_at)
ORDER BY (_topic, reason, _partition, _offset)
SETTINGS non_replicated_deduplication_window = 100000, fsync_after_insert = 1;
