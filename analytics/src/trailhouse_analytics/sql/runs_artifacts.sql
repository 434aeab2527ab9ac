-- Which other artifacts did these runs write and read?
SELECT run_id, direction, name, version, kind, uri, digest, size_bytes, step, rank, occurred_at
FROM artifact_logged
WHERE run_id IN {run_ids:Array(String)}
ORDER BY run_id, occurred_at, sequence
LIMIT 1 BY producer_id, sequence
