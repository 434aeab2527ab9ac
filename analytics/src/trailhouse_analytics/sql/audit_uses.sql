-- Who asked for, read and wrote what, in the words in which permissions are given, in each stretch of time in which no
-- permission changed? `boundaries` are where stretches begin, in microseconds since 1970, ascending, the first one
-- before everything. An event can be published at most a day before it says it occurred.
SELECT
    evidence, decision, principal, action, resource, project,
    roundDown(toUnixTimestamp64Micro(moment), {boundaries:Array(Int64)}) AS stretch,
    count() AS times,
    min(moment) AS first_at,
    max(moment) AS last_at,
    arraySort(groupUniqArrayIf(100)(run_id, run_id != '')) AS run_ids,
    arraySort(groupUniqArrayArray(grant_ids)) AS named_grant_ids,
    countIf(verified != '' AND verified != principal) AS claims_not_borne_out
FROM
(
    SELECT
        'asked' AS evidence, decision, subject AS principal, action, resource, project, run_id, occurred_at AS moment,
        grant_ids, '' AS verified, _published_at
    FROM access_decided
    UNION ALL
    SELECT
        'logged', '', principal, if(direction = 'output', 'write', 'read'), concat('dataset:', dataset_id), project,
        run_id, occurred_at, [], if(_principal_source IN ('', 'unverified'), '', _principal), _published_at
    FROM dataset_logged
    UNION ALL
    SELECT
        'logged', '', principal, 'write', concat('model:', if(name = '', model_id, name)), project,
        run_id, occurred_at, [], if(_principal_source IN ('', 'unverified'), '', _principal), _published_at
    FROM model_logged
    UNION ALL
    SELECT
        'logged', '', principal, if(direction = 'output', 'write', 'read'), concat('artifact:', name), project,
        run_id, occurred_at, [], if(_principal_source IN ('', 'unverified'), '', _principal), _published_at
    FROM artifact_logged
)
WHERE (isNull({since:Nullable(DateTime64(6, 'UTC'))}) OR
       (moment >= {since:Nullable(DateTime64(6, 'UTC'))}
        AND _published_at >= {since:Nullable(DateTime64(6, 'UTC'))} - INTERVAL 1 DAY))
  AND moment < {until:DateTime64(6, 'UTC')}
  AND ({project:String} = '' OR project = {project:String})
  AND (empty({principals:Array(String)}) OR has({principals:Array(String)}, principal))
GROUP BY evidence, decision, principal, action, resource, project, stretch
ORDER BY first_at, evidence, principal, action, resource, project
