-- On which data was each metric of these runs measured? One row a run, metric and split.
SELECT
    run_id,
    name,
    split,
    arraySort(groupUniqArrayIf(dataset_digest, dataset_digest != '')) AS digests
FROM metrics_logged
WHERE run_id IN {run_ids:Array(String)} AND (empty({project:String}) OR project = {project:String})
GROUP BY run_id, name, split
ORDER BY run_id, name, split
