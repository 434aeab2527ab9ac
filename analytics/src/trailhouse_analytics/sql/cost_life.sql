-- When was each holder of an open allocation last heard of, and is another sign of life still due?
--
-- A holder is an attempt of a run, or for an allocation outside of runs the producer that reported it. It is alive
-- while one of its producers is: neither finished nor found dead, and its next sign of life not overdue. That others
-- found a producer dead is no sign of its life.
WITH
    subjects AS (
        SELECT DISTINCT subject_producer_id
        FROM heartbeat_sent
        WHERE
            _published_at <= fromUnixTimestamp64Micro({as_of_us:Int64}, 'UTC')
            AND phase != 'found_dead'
            AND (
                run_id IN (SELECT run FROM {holders:Identifier} WHERE run != '')
                OR subject_producer_id IN (SELECT producer FROM {holders:Identifier} WHERE run = '')
            )
    ),
    producers AS (
        SELECT
            subject_producer_id AS producer_id,
            argMaxIf((run_id, attempt), (occurred_at, sequence), phase != 'found_dead') AS holder,
            maxIf(occurred_at, phase != 'found_dead') AS seen_at,
            argMaxIf((phase, next_due_at), (occurred_at, sequence), phase != 'found_dead') AS last,
            maxIf(occurred_at, phase = 'found_dead') AS dead_at
        FROM heartbeat_sent
        WHERE
            _published_at <= fromUnixTimestamp64Micro({as_of_us:Int64}, 'UTC')
            AND subject_producer_id IN (SELECT subject_producer_id FROM subjects)
        GROUP BY subject_producer_id
    )
SELECT
    toString(holder.1) AS run,
    holder.2 AS attempt,
    if(run = '', producer_id, '') AS producer,
    toUnixTimestamp64Micro(max(seen_at)) AS seen_us,
    max(
        last.1 != 'finished'
        AND dead_at < seen_at
        AND (last.2 IS NULL OR last.2 >= fromUnixTimestamp64Micro({now_us:Int64}, 'UTC'))
    ) AS alive
FROM producers
GROUP BY run, attempt, producer
