-- What was said of these runs when their latest attempt began? One row a run.
SELECT
    project, run_id, name, `group`, kind, parent_run_id, resumed_from, attempt, world_size, host, principal, _principal,
    _principal_source, entry_point, command, git_remote, git_commit, git_branch, git_dirty, git_diff_digest, git_diff_uri,
    python_version, platform, packages, container_image_digest, drivers, seeds, determinism, parallelism
FROM run_started
WHERE run_id IN {run_ids:Array(String)}
ORDER BY run_id, attempt DESC, _published_at DESC, _offset DESC
LIMIT 1 BY project, run_id
