-- What became of dead letters. What all tables have in common is said in 0001_runs.sql.
--
-- dead_letters itself is a fact and stays as it is: the accounting of loss rests on it. What is done about a letter later
-- is said here, in rows that are only ever added, one for each thing that was done:
-- * replaying: it belongs to the plan `batch`, which is landed whole under that name. The first to insert a plan's number
--   has it: the deduplication of inserts by token decides, and who comes later lands the same plan.
-- * replayed: it is in its table, at its own place. resent: its event is in the table already, from another place.
-- * failed: it still cannot be landed; the reason is the new one. split: its plan is given up, a part was refused.
-- * dropped: somebody (settled_by) has given it up; the detail says why.
-- Small, asked by place and as a whole, so one partition, which the tokens of the plans need as well.
CREATE TABLE IF NOT EXISTS dead_letters_settled (
    outcome           LowCardinality(String),
    batch             String CODEC(ZSTD(3)),
    claim             String CODEC(ZSTD(3)),
    reason            LowCardinality(String),
    detail            String CODEC(ZSTD(3)),
    settled_by        LowCardinality(String),
    settled_at        DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    collector_version LowCardinality(String),
    _topic_id         LowCardinality(String),
    _partition        Int32,
    _offset           Int64 CODEC(Delta, ZSTD(1))
) ENGINE = MergeTree
ORDER BY (_topic_id, _partition, _offset, settled_at)
SETTINGS non_replicated_deduplication_window = 100000, fsync_after_insert = 1;

-- Every dead letter with its standing: open, replayed or dropped; and the latest reason why it cannot be landed.
CREATE VIEW IF NOT EXISTS dead_letters_standing AS
SELECT
    lower(hex(sipHash64(toString(letters._topic_id), letters._partition, letters._offset))) AS letter,
    multiIf(settled.landed, 'replayed', settled.dropped, 'dropped', 'open') AS standing,
    if(settled.failed, settled.failed_reason, toString(letters.reason)) AS reason_now,
    if(settled.failed, settled.failed_detail, letters.detail) AS detail_now,
    settled.dropped_by AS dropped_by,
    settled.dropped_why AS dropped_why,
    settled.at AS settled_at,
    letters.event_type AS event_type,
    letters.producer_id AS producer_id,
    letters.sequence AS sequence,
    letters.reason AS reason,
    letters.detail AS detail,
    letters.message_key AS message_key,
    letters.headers AS headers,
    letters.value AS value,
    letters.collector_version AS collector_version,
    letters._topic AS _topic,
    letters._topic_id AS _topic_id,
    letters._partition AS _partition,
    letters._offset AS _offset,
    letters._published_at AS _published_at,
    letters._principal AS _principal,
    letters._principal_source AS _principal_source
FROM dead_letters AS letters
LEFT JOIN (
    SELECT
        _topic_id,
        _partition,
        _offset,
        countIf(outcome IN ('replayed', 'resent')) > 0 AS landed,
        countIf(outcome = 'dropped') > 0 AS dropped,
        countIf(outcome = 'failed') > 0 AS failed,
        argMaxIf(toString(reason), settled_at, outcome = 'failed') AS failed_reason,
        argMaxIf(detail, settled_at, outcome = 'failed') AS failed_detail,
        argMaxIf(toString(settled_by), settled_at, outcome = 'dropped') AS dropped_by,
        argMaxIf(detail, settled_at, outcome = 'dropped') AS dropped_why,
        max(settled_at) AS at
    FROM dead_letters_settled
    GROUP BY _topic_id, _partition, _offset
) AS settled
ON letters._topic_id = settled._topic_id
    AND letters._partition = settled._partition
    AND letters._offset = settled._offset;
