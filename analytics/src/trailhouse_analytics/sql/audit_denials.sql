-- What was denied to whom, when, and why?
SELECT
    occurred_at AS moment, subject AS principal, action, resource, project, run_id, purpose, reason, grant_ids
FROM access_decided
WHERE decision = 'deny'
  AND (isNull({since:Nullable(DateTime64(6, 'UTC'))}) OR
       (occurred_at >= {since:Nullable(DateTime64(6, 'UTC'))}
        AND _published_at >= {since:Nullable(DateTime64(6, 'UTC'))} - INTERVAL 1 DAY))
  AND occurred_at < {until:DateTime64(6, 'UTC')}
  AND ({project:String} = '' OR project = {project:String})
  AND (empty({principals:Array(String)}) OR has({principals:Array(String)}, subject))
ORDER BY moment, principal, action, resource, producer_id, sequence
