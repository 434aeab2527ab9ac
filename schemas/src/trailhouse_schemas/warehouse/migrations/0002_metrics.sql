-- Metrics.
-- What all tables have in common is said in 0001_runs.sql.

-- The largest table: one row a point. Read as the curve of a metric of some runs, in steps; sorted so that
-- such a curve is one stretch of the table. `ordinal` is the place of the point in its event: events are counted where
-- it is 0. The projection `summaries` sorts runs by a metric without reading their points: points of the whole alone, for
-- a value of one segment is not the run's. A question is served by it only with the very same expressions, and with
-- `optimize_functions_to_subcolumns = 0`, or else empty(segment) is rewritten before it is compared.
CREATE TABLE IF NOT EXISTS metrics_logged (
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
    split             LowCardinality(String),
    dataset_digest    String CODEC(ZSTD(1)),
    model_id          String CODEC(ZSTD(1)),
    segment           Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    ordinal           Int32,
    name              LowCardinality(String),
    step              Nullable(Int64) CODEC(Delta, ZSTD(1)),
    value             Float64 CODEC(ZSTD(1)),
    logged_at         DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    _topic            LowCardinality(String),
    _topic_id         LowCardinality(String),
    _partition        Int32,
    _offset           Int64 CODEC(Delta, ZSTD(1)),
    _published_at     DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    _principal        LowCardinality(String),
    _principal_source LowCardinality(String),
    INDEX offsets _offset TYPE minmax GRANULARITY 1,
    INDEX topic_ids _topic_id TYPE bloom_filter GRANULARITY 1,
    INDEX by_run_id run_id TYPE bloom_filter GRANULARITY 1,
    PROJECTION sequences (
        SELECT producer_id, _topic_id, _partition, max(sequence), max(_offset), count()
        GROUP BY producer_id, _topic_id, _partition
    ),
    PROJECTION summaries (
        SELECT project, name, split, run_id,
            argMaxIf(value, (ifNull(step, -1), logged_at), isFinite(value) AND empty(segment)),
            maxIf(ifNull(step, -1), isFinite(value) AND empty(segment)),
            minIf(value, isFinite(value) AND empty(segment)), maxIf(value, isFinite(value) AND empty(segment)),
            countIf(isFinite(value) AND empty(segment)), countIf(empty(segment))
        GROUP BY project, name, split, run_id
    )
) ENGINE = MergeTree
PARTITION BY toYYYYMM(_published_at)
ORDER BY (project, run_id, name, rank, step)
SETTINGS non_replicated_deduplication_window = 100000, fsync_after_insert = 1, allow_nullable_key = 1;
