-- How many ranks of the latest attempt of these runs were ever heard of?
SELECT run_id, toInt64(argMax(ranks, attempt)) AS ranks_seen
FROM (
    SELECT run_id, attempt, uniqExact(rank) AS ranks
    FROM heartbeat_sent
    WHERE run_id IN {run_ids:Array(String)} AND producer_id = subject_producer_id
    GROUP BY run_id, attempt
)
GROUP BY run_id
