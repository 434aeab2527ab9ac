-- Datasets and their profiles.
-- What all tables have in common is said in 0001_runs.sql.

-- Asked from the data's side (who read this version?) first, so sorted by dataset and digest; the runs' side is
-- served by the index on run_id.
CREATE TABLE IF NOT EXISTS dataset_logged (
    occurred_at             DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    producer_id             LowCardinality(String),
    sequence                Int64 CODEC(Delta, ZSTD(1)),
    project                 LowCardinality(String),
    run_id                  LowCardinality(String),
    attempt                 Int64 CODEC(T64, ZSTD(1)),
    rank                    Int64 CODEC(T64, ZSTD(1)),
    world_size              Int64 CODEC(T64, ZSTD(1)),
    host                    LowCardinality(String),
    principal               LowCardinality(String),
    direction               LowCardinality(String),
    uri                     String CODEC(ZSTD(1)),
    dataset_id              LowCardinality(String),
    version                 String CODEC(ZSTD(1)),
    digest                  String CODEC(ZSTD(1)),
    digest_scope            LowCardinality(String),
    format                  LowCardinality(String),
    rows                    Nullable(Int64) CODEC(ZSTD(1)),
    size_bytes              Nullable(Int64) CODEC(ZSTD(1)),
    columns                 Array(Tuple(name String, type String, role String)) CODEC(ZSTD(1)),
    split                   LowCardinality(String),
    split_scheme            LowCardinality(String),
    split_settings          Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    split_seed              Nullable(Int64) CODEC(ZSTD(1)),
    split_fold              Nullable(Int64) CODEC(ZSTD(1)),
    split_membership_digest String CODEC(ZSTD(1)),
    split_membership_uri    String CODEC(ZSTD(1)),
    column_lineage          Array(Tuple(column String, sources Array(String))) CODEC(ZSTD(1)),
    _topic                  LowCardinality(String),
    _topic_id               LowCardinality(String),
    _partition              Int32,
    _offset                 Int64 CODEC(Delta, ZSTD(1)),
    _published_at           DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    _principal              LowCardinality(String),
    _principal_source       LowCardinality(String),
    INDEX offsets _offset TYPE minmax GRANULARITY 1,
    INDEX topic_ids _topic_id TYPE bloom_filter GRANULARITY 1,
    INDEX by_run_id run_id TYPE bloom_filter GRANULARITY 1,
    PROJECTION sequences (
        SELECT producer_id, _topic_id, _partition, max(sequence), max(_offset), count()
        GROUP BY producer_id, _topic_id, _partition
    )
) ENGINE = MergeTree
PARTITION BY toYYYYMM(_published_at)
ORDER BY (dataset_id, digest, run_id)
SETTINGS non_replicated_deduplication_window = 100000, fsync_after_insert = 1;

-- Asked for the profiles of one dataset, column by column, latest published first.
CREATE TABLE IF NOT EXISTS dataset_profiled (
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
    dataset_id        LowCardinality(String),
    version           String CODEC(ZSTD(1)),
    digest            String CODEC(ZSTD(1)),
    split             LowCardinality(String),
    segment           Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    window_start      Nullable(DateTime64(6, 'UTC')) CODEC(ZSTD(1)),
    window_end        Nullable(DateTime64(6, 'UTC')) CODEC(ZSTD(1)),
    shard             Int64 CODEC(T64, ZSTD(1)),
    shards            Int64 CODEC(T64, ZSTD(1)),
    revision          Int64 CODEC(T64, ZSTD(1)),
    `column`          LowCardinality(String),
    position          Int64 CODEC(T64, ZSTD(1)),
    type              LowCardinality(String),
    measure           LowCardinality(String),
    role              LowCardinality(String),
    rows              Int64 CODEC(T64, ZSTD(1)),
    nulls             Int64 CODEC(T64, ZSTD(1)),
    distinct          Nullable(Int64) CODEC(ZSTD(1)),
    min               Nullable(Float64) CODEC(ZSTD(1)),
    max               Nullable(Float64) CODEC(ZSTD(1)),
    mean              Nullable(Float64) CODEC(ZSTD(1)),
    m2                Nullable(Float64) CODEC(ZSTD(1)),
    infinities        Int64 CODEC(T64, ZSTD(1)),
    quantiles         Array(Tuple(probability Float64, value Float64)) CODEC(ZSTD(1)),
    edges_name        LowCardinality(String),
    edges             Array(Float64) CODEC(ZSTD(1)),
    counts            Array(Int64) CODEC(ZSTD(1)),
    top_categories    Array(Tuple(value String, count Int64)) CODEC(ZSTD(1)),
    other_count       Int64 CODEC(T64, ZSTD(1)),
    sample            Array(Float64) CODEC(ZSTD(1)),
    sample_priorities Array(Float64) CODEC(ZSTD(1)),
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
PARTITION BY toYYYYMM(_published_at)
ORDER BY (dataset_id, `column`, _published_at)
SETTINGS non_replicated_deduplication_window = 100000, fsync_after_insert = 1;
