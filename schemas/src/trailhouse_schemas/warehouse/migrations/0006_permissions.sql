-- Permissions and decisions.
-- What all tables have in common is said in 0001_runs.sql.

-- Few rows, replayed in order of publication to know the grants as of a moment.
CREATE TABLE IF NOT EXISTS permission_changed (
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
    grant_id          String CODEC(ZSTD(1)),
    change            LowCardinality(String),
    effect            LowCardinality(String),
    grantee_kind      LowCardinality(String),
    grantee           LowCardinality(String),
    actions           Array(String) CODEC(ZSTD(1)),
    resource          LowCardinality(String),
    expires_at        Nullable(DateTime64(6, 'UTC')) CODEC(ZSTD(1)),
    requested_by      String CODEC(ZSTD(1)),
    approved_by       String CODEC(ZSTD(1)),
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
ORDER BY (grantee, grant_id, _published_at)
SETTINGS non_replicated_deduplication_window = 100000, fsync_after_insert = 1;

-- Asked per subject over time; the resource's side by an index.
CREATE TABLE IF NOT EXISTS access_decided (
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
    subject           LowCardinality(String),
    action            LowCardinality(String),
    resource          LowCardinality(String),
    decision          LowCardinality(String),
    grant_ids         Array(String) CODEC(ZSTD(1)),
    policy_digest     String CODEC(ZSTD(1)),
    purpose           String CODEC(ZSTD(1)),
    outcome           LowCardinality(String),
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
    INDEX by_resource resource TYPE bloom_filter GRANULARITY 1,
    PROJECTION sequences (
        SELECT producer_id, _topic_id, _partition, max(sequence), max(_offset), count()
        GROUP BY producer_id, _topic_id, _partition
    )
) ENGINE = MergeTree
PARTITION BY toYYYYMM(_published_at)
ORDER BY (subject, _published_at)
SETTINGS non_replicated_deduplication_window = 100000, fsync_after_insert = 1;
