-- Of the points of a metric in these runs: how many have a step, how many are not finite, of how many ranks are they?
SELECT
    toInt64(countIf(isNotNull(step))) AS with_step,
    toInt64(countIf(NOT isFinite(value))) AS not_finite,
    toInt64(uniqExact(rank)) AS ranks
FROM metrics_logged
WHERE (empty({project:String}) OR project = {project:String})
  AND run_id IN {run_ids:Array(String)}
  AND name = {name:String}
  AND split = {split:String}
  AND empty(segment)
