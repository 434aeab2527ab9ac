-- Which runs are known, and how do they stand? One row a run.
--
-- A run whose RunStarted is not there (yet) is known by the first heartbeats of its processes. How the latest attempt
-- ended is what was published last about it. One that nobody said the end of is running as long as any of its processes
-- is: a process is when its next sign of life is not overdue, so no run is running for ever.
WITH
    known AS (
        SELECT
            project, run_id, attempt, occurred_at, world_size,
            (name, `group`, kind, parent_run_id, principal, host, git_commit, git_dirty) AS about, 1 AS told
        FROM run_started
        WHERE run_id != '' AND (empty({project:String}) OR project = {project:String})
        UNION ALL
        SELECT project, run_id, attempt, occurred_at, world_size, ('', '', '', '', principal, host, '', NULL), 0
        FROM heartbeat_sent
        WHERE phase = 'started'
          AND run_id != ''
          AND (empty({project:String}) OR project = {project:String})
          AND (project, run_id, attempt) NOT IN (SELECT project, run_id, attempt FROM run_started)
    ),
    runs AS (
        SELECT
            project,
            run_id,
            max(known.attempt) AS attempt,
            min(occurred_at) AS started_at,
            argMax((occurred_at, world_size), known.attempt) AS latest,
            argMax(about, (told, known.attempt)) AS about
        FROM known
        GROUP BY project, run_id
    ),
    ends AS (
        SELECT
            project,
            run_id,
            argMax(
                (attempt, status, occurred_at, error_type, error_message),
                (attempt, _published_at, _topic_id, _partition, _offset)
            ) AS said,
            1 AS has_end
        FROM run_finished
        WHERE run_id != '' AND (empty({project:String}) OR project = {project:String})
        GROUP BY project, run_id
    ),
    processes AS (
        SELECT
            project,
            run_id,
            attempt,
            subject_producer_id,
            maxIf(occurred_at, phase != 'found_dead') AS last_heard_at,
            max(phase = 'finished') AS finished,
            max(next_due_at) AS due_at,
            subject_producer_id IN (SELECT subject_producer_id FROM heartbeat_sent WHERE phase = 'found_dead') AS dead
        FROM heartbeat_sent
        WHERE (project, run_id, attempt) NOT IN (SELECT project, run_id, attempt FROM run_finished)
          AND producer_id = subject_producer_id
          AND (empty({project:String}) OR project = {project:String})
        GROUP BY project, run_id, attempt, subject_producer_id
    ),
    signs AS (
        SELECT
            project,
            run_id,
            attempt,
            max(processes.last_heard_at) AS last_heard_at,
            countIf(NOT finished) AS open,
            countIf(NOT finished AND NOT dead AND due_at + toIntervalMillisecond({grace_ms:Int64}) >= {now:DateTime64(6, 'UTC')})
                AS alive,
            1 AS heard
        FROM processes
        GROUP BY project, run_id, attempt
    )
SELECT
    runs.project AS project,
    runs.run_id AS run_id,
    runs.about.1 AS name,
    runs.about.2 AS `group`,
    runs.about.3 AS kind,
    runs.about.4 AS parent_run_id,
    runs.about.5 AS principal,
    runs.about.6 AS host,
    runs.about.7 AS git_commit,
    runs.about.8 AS git_dirty,
    multiIf(
        ends.has_end = 1 AND ends.said.1 >= runs.attempt, ends.said.2,
        signs.alive > 0, 'running',
        signs.heard = 1 AND signs.open = 0, 'ended',
        signs.heard = 0
            AND runs.latest.1 + toIntervalMillisecond({grace_ms:Int64}) >= {now:DateTime64(6, 'UTC')}, 'running',
        'lost contact'
    ) AS status,
    runs.started_at AS started_at,
    multiIf(
        ends.has_end = 1 AND ends.said.1 >= runs.attempt, ends.said.3,
        signs.alive > 0, NULL,
        signs.heard = 1, signs.last_heard_at,
        status = 'running', NULL,
        runs.latest.1
    ) AS ended_at,
    dateDiff('microsecond', runs.started_at, ifNull(ended_at, {now:DateTime64(6, 'UTC')})) / 1e6 AS duration_seconds,
    greatest(runs.attempt, ends.said.1) + 1 AS attempts,
    runs.latest.2 AS world_size,
    toInt64(signs.open - signs.alive) AS ranks_lost,
    ends.said.4 AS error_type,
    ends.said.5 AS error_message
FROM runs
LEFT JOIN ends ON ends.project = runs.project AND ends.run_id = runs.run_id
LEFT JOIN signs ON signs.project = runs.project AND signs.run_id = runs.run_id AND signs.attempt = runs.attempt
WHERE (empty({group:String}) OR runs.about.2 = {group:String})
  AND runs.started_at >= {since:DateTime64(6, 'UTC')}
  AND runs.started_at < {until:DateTime64(6, 'UTC')}
  AND (empty({run_ids:Array(String)}) OR runs.run_id IN {run_ids:Array(String)})
  AND (empty({statuses:Array(String)}) OR status IN {statuses:Array(String)})
ORDER BY started_at DESC, run_id DESC
