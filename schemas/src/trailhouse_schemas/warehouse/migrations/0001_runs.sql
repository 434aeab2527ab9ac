-- Runs: start, end, signs of life, hyper-parameters.
--
-- What all tables of events have in common:
-- * The columns after the fields, with a leading underscore, come from the transport: the place of the message
--   (_topic_id, _partition, _offset), the broker's time, and who was verified to have published it.
-- * non_replicated_deduplication_window: a repeated insert of the same range is dropped by its token. Tokens are
--   forgotten after that many inserts into one partition of the table, long after a range may be tried again.
-- * fsync_after_insert: an acknowledged insert survives a crash of the machine; the plan is given up after it.
-- * The index on _offset reads back in milliseconds which offsets of a range are there.
-- * The projection `sequences` answers "highest sequence of these producers" and "highest offset of this partition"
--   from a few granules; it lives in the parts, so it is always in step with them.
-- * Large tables are partitioned by the month of the broker's time, never of the client's clock.

-- Read by project and run; one row an attempt, so small enough to be one partition.
CREATE TABLE IF NOT EXISTS run_started (
    occurred_at            DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    producer_id            LowCardinality(String),
    sequence               Int64 CODEC(Delta, ZSTD(1)),
    project                LowCardinality(String),
    run_id                 LowCardinality(String),
    attempt                Int64 CODEC(T64, ZSTD(1)),
    rank                   Int64 CODEC(T64, ZSTD(1)),
    world_size             Int64 CODEC(T64, ZSTD(1)),
    host                   LowCardinality(String),
    principal              LowCardinality(String),
    name                   String CODEC(ZSTD(1)),
    `group`                LowCardinality(String),
    kind                   LowCardinality(String),
    parent_run_id          String CODEC(ZSTD(1)),
    resumed_from           String CODEC(ZSTD(1)),
    entry_point            LowCardinality(String),
    command                Array(String) CODEC(ZSTD(1)),
    git_remote             LowCardinality(String),
    git_commit             String CODEC(ZSTD(1)),
    git_branch             LowCardinality(String),
    git_dirty              Nullable(Bool) CODEC(ZSTD(1)),
    git_diff_digest        String CODEC(ZSTD(1)),
    git_diff_uri           String CODEC(ZSTD(1)),
    python_version         LowCardinality(String),
    platform               LowCardinality(String),
    packages               Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    container_image_digest String CODEC(ZSTD(1)),
    drivers                Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    seeds                  Map(LowCardinality(String), Int64) CODEC(ZSTD(1)),
    determinism            Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    parallelism            Map(LowCardinality(String), Int64) CODEC(ZSTD(1)),
    _topic                 LowCardinality(String),
    _topic_id              LowCardinality(String),
    _partition             Int32,
    _offset                Int64 CODEC(Delta, ZSTD(1)),
    _published_at          DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    _principal             LowCardinality(String),
    _principal_source      LowCardinality(String),
    INDEX offsets _offset TYPE minmax GRANULARITY 1,
    INDEX topic_ids _topic_id TYPE bloom_filter GRANULARITY 1,
    INDEX by_run_id run_id TYPE bloom_filter GRANULARITY 1,
    PROJECTION sequences (
        SELECT producer_id, _topic_id, _partition, max(sequence), max(_offset), count()
        GROUP BY producer_id, _topic_id, _partition
    )
) ENGINE = MergeTree
ORDER BY (project, run_id, attempt, _offset)
SETTINGS non_replicated_deduplication_window = 100000, fsync_after_insert = 1;

-- Read beside run_started, in the same order.
CREATE TABLE IF NOT EXISTS run_finished (
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
    status            LowCardinality(String),
    exit_code         Nullable(Int64) CODEC(ZSTD(1)),
    error_type        LowCardinality(String),
    error_message     String CODEC(ZSTD(1)),
    reported_by       LowCardinality(String),
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
    )
) ENGINE = MergeTree
ORDER BY (project, run_id, attempt, _offset)
SETTINGS non_replicated_deduplication_window = 100000, fsync_after_insert = 1;

-- Asked per producer: its last sign of life and its own count of events. Grows with time, so by month.
CREATE TABLE IF NOT EXISTS heartbeat_sent (
    occurred_at            DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    producer_id            LowCardinality(String),
    sequence               Int64 CODEC(Delta, ZSTD(1)),
    project                LowCardinality(String),
    run_id                 LowCardinality(String),
    attempt                Int64 CODEC(T64, ZSTD(1)),
    rank                   Int64 CODEC(T64, ZSTD(1)),
    world_size             Int64 CODEC(T64, ZSTD(1)),
    host                   LowCardinality(String),
    principal              LowCardinality(String),
    phase                  LowCardinality(String),
    subject_producer_id    String CODEC(ZSTD(1)),
    parent_producer_id     String CODEC(ZSTD(1)),
    process_id             Int64 CODEC(T64, ZSTD(1)),
    next_due_at            Nullable(DateTime64(6, 'UTC')) CODEC(ZSTD(1)),
    events_emitted         Int64 CODEC(T64, ZSTD(1)),
    events_dropped         Int64 CODEC(T64, ZSTD(1)),
    points_dropped         Int64 CODEC(T64, ZSTD(1)),
    spool_backlog          Int64 CODEC(T64, ZSTD(1)),
    clock_offset_us        Nullable(Int64) CODEC(ZSTD(1)),
    flush_interval_seconds Float64 CODEC(ZSTD(1)),
    _topic                 LowCardinality(String),
    _topic_id              LowCardinality(String),
    _partition             Int32,
    _offset                Int64 CODEC(Delta, ZSTD(1)),
    _published_at          DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    _principal             LowCardinality(String),
    _principal_source      LowCardinality(String),
    INDEX offsets _offset TYPE minmax GRANULARITY 1,
    INDEX topic_ids _topic_id TYPE bloom_filter GRANULARITY 1,
    INDEX by_run_id run_id TYPE bloom_filter GRANULARITY 1,
    PROJECTION sequences (
        SELECT producer_id, _topic_id, _partition, max(sequence), max(_offset), count()
        GROUP BY producer_id, _topic_id, _partition
    )
) ENGINE = MergeTree
PARTITION BY toYYYYMM(_published_at)
ORDER BY (subject_producer_id, sequence)
SETTINGS non_replicated_deduplication_window = 100000, fsync_after_insert = 1;

-- Read by run; one parameter of 100,000 runs is one key of a map, read without the others' text.
CREATE TABLE IF NOT EXISTS parameters_logged (
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
    parameters        Map(LowCardinality(String), String) CODEC(ZSTD(1)),
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
    )
) ENGINE = MergeTree
PARTITION BY toYYYYMM(_published_at)
ORDER BY (project, run_id, sequence)
SETTINGS non_replicated_deduplication_window = 100000, fsync_after_insert = 1;
