-- Resources: allocations, use, capacity, prices.
-- What all tables have in common is said in 0001_runs.sql.

-- The latest published event of an allocation holds: sorted so that it is the last of its stretch.
CREATE TABLE IF NOT EXISTS resources_allocated (
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
    allocation_id     String CODEC(ZSTD(1)),
    pool              LowCardinality(String),
    node              LowCardinality(String),
    resource          LowCardinality(String),
    model             LowCardinality(String),
    devices           Array(String) CODEC(ZSTD(1)),
    fraction          Float64 CODEC(ZSTD(1)),
    partition_profile LowCardinality(String),
    quantity          Float64 CODEC(ZSTD(1)),
    capacity_type     LowCardinality(String),
    submitted_at      Nullable(DateTime64(6, 'UTC')) CODEC(ZSTD(1)),
    started_at        DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
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
ORDER BY (allocation_id, _published_at)
SETTINGS non_replicated_deduplication_window = 100000, fsync_after_insert = 1;

-- As resources_allocated, which it is joined with.
CREATE TABLE IF NOT EXISTS resources_released (
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
    allocation_id     String CODEC(ZSTD(1)),
    ended_at          DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    reason            LowCardinality(String),
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
    PROJECTION sequences (
        SELECT producer_id, _topic_id, _partition, max(sequence), max(_offset), count()
        GROUP BY producer_id, _topic_id, _partition
    )
) ENGINE = MergeTree
ORDER BY (allocation_id, _published_at)
SETTINGS non_replicated_deduplication_window = 100000, fsync_after_insert = 1;

-- One row a device and interval, stamped with its allocation, so that cost needs no join over time. Sorted by
-- device and time, in which neighbouring rows are alike and compress best; the allocation's side by an index.
CREATE TABLE IF NOT EXISTS resources_sampled (
    occurred_at         DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    producer_id         LowCardinality(String),
    sequence            Int64 CODEC(Delta, ZSTD(1)),
    project             LowCardinality(String),
    run_id              LowCardinality(String),
    attempt             Int64 CODEC(T64, ZSTD(1)),
    rank                Int64 CODEC(T64, ZSTD(1)),
    world_size          Int64 CODEC(T64, ZSTD(1)),
    host                LowCardinality(String),
    principal           LowCardinality(String),
    allocation_id       LowCardinality(String),
    resource            LowCardinality(String),
    device              LowCardinality(String),
    model               LowCardinality(String),
    interval_start      DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    interval_seconds    Float64 CODEC(ZSTD(1)),
    utilization         Nullable(Float64) CODEC(ZSTD(1)),
    memory_used_bytes   Nullable(Int64) CODEC(ZSTD(1)),
    memory_total_bytes  Nullable(Int64) CODEC(ZSTD(1)),
    power_watts         Nullable(Float64) CODEC(ZSTD(1)),
    energy_joules       Nullable(Float64) CODEC(ZSTD(1)),
    temperature_celsius Nullable(Float64) CODEC(ZSTD(1)),
    read_bytes          Nullable(Int64) CODEC(ZSTD(1)),
    written_bytes       Nullable(Int64) CODEC(ZSTD(1)),
    _topic              LowCardinality(String),
    _topic_id           LowCardinality(String),
    _partition          Int32,
    _offset             Int64 CODEC(Delta, ZSTD(1)),
    _published_at       DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    _principal          LowCardinality(String),
    _principal_source   LowCardinality(String),
    INDEX offsets _offset TYPE minmax GRANULARITY 1,
    INDEX topic_ids _topic_id TYPE bloom_filter GRANULARITY 1,
    INDEX by_allocation_id allocation_id TYPE bloom_filter GRANULARITY 1,
    INDEX by_run_id run_id TYPE bloom_filter GRANULARITY 1,
    PROJECTION sequences (
        SELECT producer_id, _topic_id, _partition, max(sequence), max(_offset), count()
        GROUP BY producer_id, _topic_id, _partition
    )
) ENGINE = MergeTree
PARTITION BY toYYYYMM(_published_at)
ORDER BY (device, interval_start)
SETTINGS non_replicated_deduplication_window = 100000, fsync_after_insert = 1;

-- Asked for the state of nodes over time.
CREATE TABLE IF NOT EXISTS capacity_reported (
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
    node              LowCardinality(String),
    pool              LowCardinality(String),
    resource          LowCardinality(String),
    model             LowCardinality(String),
    devices           Array(String) CODEC(ZSTD(1)),
    quantity          Float64 CODEC(ZSTD(1)),
    state             LowCardinality(String),
    capacity_type     LowCardinality(String),
    next_due_at       Nullable(DateTime64(6, 'UTC')) CODEC(ZSTD(1)),
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
ORDER BY (node, resource, _published_at)
SETTINGS non_replicated_deduplication_window = 100000, fsync_after_insert = 1;

-- Asked per run: ranks side by side over the same steps.
CREATE TABLE IF NOT EXISTS steps_timed (
    occurred_at              DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    producer_id              LowCardinality(String),
    sequence                 Int64 CODEC(Delta, ZSTD(1)),
    project                  LowCardinality(String),
    run_id                   LowCardinality(String),
    attempt                  Int64 CODEC(T64, ZSTD(1)),
    rank                     Int64 CODEC(T64, ZSTD(1)),
    world_size               Int64 CODEC(T64, ZSTD(1)),
    host                     LowCardinality(String),
    principal                LowCardinality(String),
    first_step               Int64 CODEC(T64, ZSTD(1)),
    last_step                Int64 CODEC(T64, ZSTD(1)),
    started_at               DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    duration_ns              Int64 CODEC(T64, ZSTD(1)),
    compute_ns               Int64 CODEC(T64, ZSTD(1)),
    data_wait_ns             Int64 CODEC(T64, ZSTD(1)),
    exposed_communication_ns Int64 CODEC(T64, ZSTD(1)),
    checkpoint_ns            Int64 CODEC(T64, ZSTD(1)),
    init_ns                  Int64 CODEC(T64, ZSTD(1)),
    compile_ns               Int64 CODEC(T64, ZSTD(1)),
    restore_ns               Int64 CODEC(T64, ZSTD(1)),
    _topic                   LowCardinality(String),
    _topic_id                LowCardinality(String),
    _partition               Int32,
    _offset                  Int64 CODEC(Delta, ZSTD(1)),
    _published_at            DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    _principal               LowCardinality(String),
    _principal_source        LowCardinality(String),
    INDEX offsets _offset TYPE minmax GRANULARITY 1,
    INDEX topic_ids _topic_id TYPE bloom_filter GRANULARITY 1,
    PROJECTION sequences (
        SELECT producer_id, _topic_id, _partition, max(sequence), max(_offset), count()
        GROUP BY producer_id, _topic_id, _partition
    )
) ENGINE = MergeTree
PARTITION BY toYYYYMM(_published_at)
ORDER BY (project, run_id, rank, first_step)
SETTINGS non_replicated_deduplication_window = 100000, fsync_after_insert = 1;

-- A price list: few rows, joined by moment. Decimal(38, 12) is exact to 26 digits before the point.
CREATE TABLE IF NOT EXISTS price_set (
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
    sku_id            String CODEC(ZSTD(1)),
    pool              LowCardinality(String),
    resource          LowCardinality(String),
    model             LowCardinality(String),
    capacity_type     LowCardinality(String),
    unit_price        Nullable(String) CODEC(ZSTD(1)),
    currency          LowCardinality(String),
    pricing_unit      LowCardinality(String),
    valid_from        DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    voided            Bool,
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
ORDER BY (sku_id, valid_from, _published_at)
SETTINGS non_replicated_deduplication_window = 100000, fsync_after_insert = 1;
