-- Of which runs is a rank of the latest attempt not heard of, or not any more? One row such a run.
--
-- How many ranks there are is what any of them says. A rank stands as its latest process does that is nobody's child:
-- one that said goodbye or whose next sign of life is not overdue is no silent one, whatever came before it.
WITH
    processes AS (
        SELECT
            project,
            run_id,
            attempt,
            rank,
            producer_id,
            max(heartbeat_sent.world_size) AS of_ranks,
            max(parent_producer_id) = '' AS own,
            min(occurred_at) AS first_heard_at,
            maxIf(occurred_at, phase != 'found_dead') AS last_heard_at,
            NOT max(phase = 'finished') AND (
                producer_id IN (SELECT subject_producer_id FROM heartbeat_sent WHERE phase = 'found_dead')
                OR ifNull(max(next_due_at) + toIntervalMillisecond({grace_ms:Int64}) < {now:DateTime64(6, 'UTC')}, true)
            ) AS lost
        FROM heartbeat_sent
        WHERE run_id != ''
          AND producer_id = subject_producer_id
          AND (empty({project:String}) OR project = {project:String})
          AND (empty({run_id:String}) OR run_id = {run_id:String})
        GROUP BY project, run_id, attempt, rank, producer_id
    ),
    ranks AS (
        SELECT
            project,
            run_id,
            attempt,
            rank,
            max(of_ranks) AS of_all,
            min(processes.first_heard_at) AS begun_at,
            max(processes.last_heard_at) AS heard_at,
            argMax(lost, (own, processes.first_heard_at)) AS silent
        FROM processes
        GROUP BY project, run_id, attempt, rank
    ),
    latest AS (
        SELECT
            project,
            run_id,
            attempt,
            max(of_all) AS world_size,
            groupArray(rank) AS heard,
            groupArrayIf(rank, silent) AS lost_contact,
            min(begun_at) AS first_heard_at,
            max(heard_at) AS last_heard_at
        FROM ranks
        GROUP BY project, run_id, attempt
        ORDER BY attempt DESC
        LIMIT 1 BY project, run_id
    )
SELECT
    project,
    run_id,
    attempt,
    world_size,
    heard,
    lost_contact,
    first_heard_at + toIntervalMillisecond({grace_ms:Int64}) < {now:DateTime64(6, 'UTC')} AS all_due
FROM latest
WHERE (length(heard) < world_size OR notEmpty(lost_contact))
  AND last_heard_at >= {since:DateTime64(6, 'UTC')}
  AND first_heard_at < {until:DateTime64(6, 'UTC')}
ORDER BY first_heard_at, run_id
