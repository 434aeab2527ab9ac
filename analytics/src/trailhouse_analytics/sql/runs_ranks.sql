-- How many ranks of the latest attempt of these runs were ever heard of, by a heartbeat, a metric or the start itself?
SELECT run_id, toInt64(argMax(ranks, attempt)) AS ranks_seen
FROM (
    SELECT run_id, attempt, uniqExact(rank) AS ranks
    FROM (
        SELECT run_id, attempt, rank FROM heartbeat_sent
        WHERE run_id IN {run_ids:Array(String)} AND producer_id = subject_producer_id
        UNION ALL
        SELECT run_id, attempt, rank FROM run_started WHERE run_id IN {run_ids:Array(String)}
        UNION ALL
        SELECT run_id, attempt, rank FROM metrics_logged
        WHERE project IN {projects:Array(String)} AND run_id IN {run_ids:Array(String)}
    )
    GROUP BY run_id, attempt
)
GROUP BY run_id
