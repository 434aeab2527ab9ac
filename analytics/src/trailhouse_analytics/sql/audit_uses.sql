-- Who read and wrote which dataset, model or artifact, in the words in which permissions are given?
-- An event can be published at most a day before it says it occurred.
SELECT moment, principal, action, resource, project, run_id, verified
FROM
(
    SELECT
        occurred_at AS moment, principal, if(direction = 'output', 'write', 'read') AS action,
        concat('dataset:', dataset_id) AS resource, project, run_id,
        if(_principal_source IN ('', 'unverified'), '', _principal) AS verified, _published_at
    FROM dataset_logged
    UNION ALL
    SELECT
        occurred_at, principal, 'write', concat('model:', if(name = '', model_id, name)), project, run_id,
        if(_principal_source IN ('', 'unverified'), '', _principal), _published_at
    FROM model_logged
    UNION ALL
    SELECT
        occurred_at, principal, if(direction = 'output', 'write', 'read'), concat('artifact:', name), project, run_id,
        if(_principal_source IN ('', 'unverified'), '', _principal), _published_at
    FROM artifact_logged
)
WHERE (isNull({since:Nullable(DateTime64(6, 'UTC'))}) OR
       (moment >= {since:Nullable(DateTime64(6, 'UTC'))}
        AND _published_at >= {since:Nullable(DateTime64(6, 'UTC'))} - INTERVAL 1 DAY))
  AND (isNull({until:Nullable(DateTime64(6, 'UTC'))}) OR moment < {until:Nullable(DateTime64(6, 'UTC'))})
  AND ({project:String} = '' OR project = {project:String})
  AND ({principal:String} = '' OR principal = {principal:String})
ORDER BY moment, principal, action, resource
