-- Who asked to do what, and what was decided? An event can be published at most a day before it says it occurred.
SELECT
    occurred_at AS moment, subject AS principal, action, resource, project, run_id, decision, grant_ids, purpose, outcome,
    reason, principal AS asked_by, if(_principal_source IN ('', 'unverified'), '', _principal) AS verified
FROM access_decided
WHERE (isNull({since:Nullable(DateTime64(6, 'UTC'))}) OR
       (occurred_at >= {since:Nullable(DateTime64(6, 'UTC'))}
        AND _published_at >= {since:Nullable(DateTime64(6, 'UTC'))} - INTERVAL 1 DAY))
  AND (isNull({until:Nullable(DateTime64(6, 'UTC'))}) OR occurred_at < {until:Nullable(DateTime64(6, 'UTC'))})
  AND ({project:String} = '' OR project = {project:String})
  AND ({principal:String} = '' OR subject = {principal:String})
ORDER BY moment, principal, action, resource
