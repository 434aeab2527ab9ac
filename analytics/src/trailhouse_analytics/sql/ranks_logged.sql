-- Which ranks of these runs have logged metrics, or that a run began, whatever became of their signs of life?
SELECT DISTINCT run_id, attempt, rank
FROM metrics_logged
WHERE project IN {projects:Array(String)} AND run_id IN {run_ids:Array(String)}
UNION DISTINCT
SELECT DISTINCT run_id, attempt, rank
FROM run_started
WHERE run_id IN {run_ids:Array(String)}
