-- Has anything happened in this project?
SELECT 1 AS known FROM
(
    SELECT project FROM run_started
    UNION ALL SELECT project FROM access_decided
    UNION ALL SELECT project FROM dataset_logged
    UNION ALL SELECT project FROM model_logged
    UNION ALL SELECT project FROM artifact_logged
)
WHERE project = {project:String}
LIMIT 1
