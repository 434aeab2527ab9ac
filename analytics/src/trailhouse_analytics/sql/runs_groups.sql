-- Which groups of runs are known?
SELECT DISTINCT toString(`group`) AS name
FROM run_started
WHERE `group` != '' AND (empty({project:String}) OR project = {project:String})
ORDER BY name
