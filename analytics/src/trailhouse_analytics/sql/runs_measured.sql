-- Which metrics were measured, on which splits, in the runs of a project (or in these runs)? Answered by `summaries`.
SELECT name, split
FROM metrics_logged
WHERE (empty({project:String}) OR project = {project:String})
  AND (empty({run_ids:Array(String)}) OR run_id IN {run_ids:Array(String)})
GROUP BY name, split
ORDER BY name, split
