-- How long did the calls of log take, by the process that told the end of the latest attempt? Counts by powers of two.
SELECT argMax(log_calls_by_duration, (attempt, rank = 0, _published_at, _topic_id, _partition, _offset)) AS by_duration
FROM run_finished
WHERE run_id IN {run_ids:Array(String)}
