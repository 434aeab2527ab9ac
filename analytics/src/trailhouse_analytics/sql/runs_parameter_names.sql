-- Which parameters are known in the runs of a project?
SELECT DISTINCT arrayJoin(mapKeys(parameters)) AS name
FROM parameters_logged
WHERE empty({project:String}) OR project = {project:String}
ORDER BY name
