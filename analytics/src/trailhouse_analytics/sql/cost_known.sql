-- Which projects, or which runs, has anybody ever heard of?
SELECT DISTINCT toString(if({what:String} = 'project', project, run_id)) AS name
FROM (
    SELECT project, run_id FROM run_started
    UNION ALL
    SELECT project, run_id FROM resources_allocated
)
WHERE name != ''
ORDER BY name
