-- Models and other artifacts.
-- What all tables have in common is said in 0001_runs.sql.

-- Asked by name within a project; the run's side is served by the index on run_id.
CREATE TABLE IF NOT EXISTS model_logged (
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
    model_id          String CODEC(ZSTD(1)),
    name              String CODEC(ZSTD(1)),
    version           String CODEC(ZSTD(1)),
    framework         LowCardinality(String),
    framework_version LowCardinality(String),
    class_name        LowCardinality(String),
    arguments         Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    uri               String CODEC(ZSTD(1)),
    digest            String CODEC(ZSTD(1)),
    size_bytes        Nullable(Int64) CODEC(ZSTD(1)),
    requirements      Array(String) CODEC(ZSTD(1)),
    input_signature   Array(Tuple(name String, type String, shape Array(Int64))) CODEC(ZSTD(1)),
    output_signature  Array(Tuple(name String, type String, shape Array(Int64))) CODEC(ZSTD(1)),
    preprocessing     Array(Tuple(path String, class_name String, settings Map(LowCardinality(String), String), input_columns Array(String), output_columns Array(String), fitted_digest String)) CODEC(ZSTD(1)),
    features          Array(Tuple(name String, source_dataset_id String, source_column String, importance Nullable(Float64), importance_method String)) CODEC(ZSTD(1)),
    step              Nullable(Int64) CODEC(Delta, ZSTD(1)),
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
    INDEX by_digest digest TYPE bloom_filter GRANULARITY 1,
    PROJECTION sequences (
        SELECT producer_id, _topic_id, _partition, max(sequence), max(_offset), count()
        GROUP BY producer_id, _topic_id, _partition
    )
) ENGINE = MergeTree
ORDER BY (project, name, model_id)
SETTINGS non_replicated_deduplication_window = 100000, fsync_after_insert = 1;

-- Asked by run; the side of the content (does this file exist already?) by the index on digest.
CREATE TABLE IF NOT EXISTS artifact_logged (
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
    name              String CODEC(ZSTD(1)),
    version           String CODEC(ZSTD(1)),
    kind              LowCardinality(String),
    uri               String CODEC(ZSTD(1)),
    digest            String CODEC(ZSTD(1)),
    size_bytes        Nullable(Int64) CODEC(ZSTD(1)),
    direction         LowCardinality(String),
    step              Nullable(Int64) CODEC(Delta, ZSTD(1)),
    _topic            LowCardinality(String),
    _topic_id         LowCardinality(String),
    _partition        Int32,
    _offset           Int64 CODEC(Delta, ZSTD(1)),
    _published_at     DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    _principal        LowCardinality(String),
    _principal_source LowCardinality(String),
    INDEX offsets _offset TYPE minmax GRANULARITY 1,
    INDEX topic_ids _topic_id TYPE bloom_filter GRANULARITY 1,
    INDEX by_digest digest TYPE bloom_filter GRANULARITY 1,
    PROJECTION sequences (
        SELECT producer_id, _topic_id, _partition, max(sequence), max(_offset), count()
        GROUP BY producer_id, _topic_id, _partition
    )
) ENGINE = MergeTree
PARTITION BY toYYYYMM(_published_at)
ORDER BY (project, run_id, name)
SETTINGS non_replicated_deduplication_window = 100000, fsync_after_insert = 1;
