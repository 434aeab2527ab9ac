-- Which processes did these runs have, and when was each last heard of? One row a process, forked children too.
SELECT
    run_id,
    attempt,
    rank,
    host,
    process_id,
    producer_id,
    parent_producer_id,
    multiIf(
        finished, 'finished',
        dead, 'found dead',
        due_at + toIntervalMillisecond({grace_ms:Int64}) >= {now:DateTime64(6, 'UTC')}, 'running',
        'lost contact'
    ) AS state,
    first_heard_at,
    last_heard_at,
    emitted,
    dropped,
    points_dropped,
    spool_backlog,
    heartbeats
FROM (
    SELECT
        run_id,
        attempt,
        rank,
        producer_id,
        any(host) AS host,
        any(process_id) AS process_id,
        max(parent_producer_id) AS parent_producer_id,
        max(phase = 'finished') AS finished,
        producer_id IN (SELECT subject_producer_id FROM heartbeat_sent WHERE phase = 'found_dead') AS dead,
        max(next_due_at) AS due_at,
        min(occurred_at) AS first_heard_at,
        maxIf(occurred_at, phase != 'found_dead') AS last_heard_at,
        max(events_emitted) AS emitted,
        max(events_dropped) AS dropped,
        max(heartbeat_sent.points_dropped) AS points_dropped,
        argMax(heartbeat_sent.spool_backlog, sequence) AS spool_backlog,
        toInt64(count()) AS heartbeats
    FROM heartbeat_sent
    WHERE run_id IN {run_ids:Array(String)} AND producer_id = subject_producer_id
    GROUP BY run_id, attempt, rank, producer_id
)
ORDER BY run_id, attempt, rank, first_heard_at
