-- Which runs may be meant by this text: an id, the begin of one, or a name? The exact ones first, then the latest.
SELECT
    project,
    run_id,
    argMax(name, attempt) AS name,
    min(occurred_at) AS started_at
FROM (
    SELECT project, run_id, name, attempt, occurred_at FROM run_started
    UNION ALL
    SELECT project, run_id, '', -1, occurred_at FROM heartbeat_sent WHERE phase = 'started'
)
WHERE run_id != ''
  AND (empty({project:String}) OR project = {project:String})
GROUP BY project, run_id
HAVING startsWith(run_id, {text:String}) OR name = {text:String}
ORDER BY run_id = {text:String} DESC, name = {text:String} DESC, started_at DESC
LIMIT 20
