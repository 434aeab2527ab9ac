-- How long the rows of a table are kept, and since when: `trailhouse migrate` says so here, from the setting `retention`.
-- A promise is written before rows can expire by it, and its end after they no longer can, so that whoever misses a row
-- can tell whether it may have expired. 0 days: for ever. Rows are only ever added; there is no window for tokens,
-- because the same promise may be made again.
CREATE TABLE IF NOT EXISTS retention_changes (
    table_name LowCardinality(String),
    keep_days  Int64,
    applied_at DateTime64(6, 'UTC')
) ENGINE = MergeTree
ORDER BY (table_name, applied_at)
SETTINGS fsync_after_insert = 1;

-- Rows of which tables may have expired: those that were published before then.
CREATE VIEW IF NOT EXISTS rows_expired AS
SELECT toString(table_name) AS table_name, max(until - toIntervalDay(keep_days)) AS published_before
FROM (
    SELECT
        table_name,
        keep_days,
        leadInFrame(applied_at, 1, now64(6, 'UTC')) OVER (
            PARTITION BY table_name ORDER BY applied_at ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING
        ) AS until
    FROM retention_changes
)
WHERE keep_days > 0
GROUP BY table_name;
