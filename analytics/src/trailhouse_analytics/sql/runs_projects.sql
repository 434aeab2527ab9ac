-- Which projects are known?
SELECT DISTINCT project
FROM (SELECT project FROM run_started UNION ALL SELECT project FROM heartbeat_sent)
WHERE project != ''
ORDER BY project
