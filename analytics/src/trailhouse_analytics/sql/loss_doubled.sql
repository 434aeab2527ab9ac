-- Which sequences of these producers are in the tables more than once, how often, and in which tables?
-- EVENTS stands for one row an event out of every event table. Neighbours that are doubled alike are one range.
SELECT
    producer_id,
    min(sequence) AS first,
    max(sequence) AS last,
    copies,
    tables
FROM (
    SELECT
        producer_id,
        sequence,
        copies,
        tables,
        sequence - row_number() OVER (PARTITION BY producer_id, copies, tables ORDER BY sequence) AS island
    FROM (
        SELECT
            producer_id,
            sequence,
            toInt64(count()) AS copies,
            arraySort(groupUniqArray(table_name)) AS tables
        FROM (EVENTS)
        WHERE producer_id IN {producers:Array(String)}
        GROUP BY producer_id, sequence
        HAVING copies > 1
    )
)
GROUP BY producer_id, copies, tables, island
ORDER BY producer_id, first
