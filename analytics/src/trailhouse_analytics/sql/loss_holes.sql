-- Which sequences of these producers are in no table and no dead letter, from 0 to the last one that is there?
-- EVENTS stands for one row an event out of every event table. A hole is the gap between two neighbours.
SELECT
    producer_id,
    previous + 1 AS first,
    sequence - 1 AS last
FROM (
    SELECT
        producer_id,
        sequence,
        lagInFrame(sequence, 1, toInt64(-1)) OVER (
            PARTITION BY producer_id ORDER BY sequence ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
        ) AS previous
    FROM (
        SELECT producer_id, sequence
        FROM (EVENTS)
        WHERE producer_id IN {producers:Array(String)}
        UNION ALL
        SELECT producer_id, assumeNotNull(sequence)
        FROM dead_letters
        WHERE producer_id IN {producers:Array(String)} AND sequence >= 0
    )
)
WHERE sequence > previous + 1
ORDER BY producer_id, first
