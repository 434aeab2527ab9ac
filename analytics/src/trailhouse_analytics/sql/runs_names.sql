-- The ids and names of the latest runs, to say which one may have been meant.
SELECT DISTINCT run_id, name
FROM run_started
WHERE run_id != '' AND (empty({project:String}) OR project = {project:String})
ORDER BY occurred_at DESC
LIMIT 10000
