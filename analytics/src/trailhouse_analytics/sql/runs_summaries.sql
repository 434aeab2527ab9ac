-- Last, smallest and largest value of these metrics in every run: one row a run, metric and split.
--
-- The very expressions of the projection `summaries` of metrics_logged, which therefore answers without reading points;
-- the setting keeps empty(segment) from being rewritten before it is compared with the projection's. Values of segments
-- and values that are not finite are left out; `points` counts those that are not finite, too.
SELECT
    project,
    run_id,
    name,
    split,
    argMaxIf(value, (ifNull(step, -1), logged_at), isFinite(value) AND empty(segment)) AS last_value,
    maxIf(ifNull(step, -1), isFinite(value) AND empty(segment)) AS last_step,
    minIf(value, isFinite(value) AND empty(segment)) AS min_value,
    maxIf(value, isFinite(value) AND empty(segment)) AS max_value,
    toInt64(countIf(isFinite(value) AND empty(segment))) AS finite_points,
    toInt64(countIf(empty(segment))) AS points
FROM metrics_logged
WHERE (empty({project:String}) OR project = {project:String})
  AND (empty({names:Array(String)}) OR name IN {names:Array(String)})
  AND (empty({run_ids:Array(String)}) OR run_id IN {run_ids:Array(String)})
GROUP BY project, run_id, name, split
HAVING points > 0
ORDER BY name, split
SETTINGS optimize_functions_to_subcolumns = 0
