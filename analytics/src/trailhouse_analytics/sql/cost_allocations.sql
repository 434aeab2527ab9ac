-- Which allocations of the period are known, each as it was last stated, and what was said of their ends?
--
-- The latest published ResourcesAllocated and the latest published ResourcesReleased of an allocation_id hold, each on
-- its own; one that was released as void never was. `finished_us` is the end of the run's attempt, as last stated.
WITH
    allocated AS (
        SELECT
            allocation_id,
            min(_published_at) AS first_published_at,
            argMax(
                (
                    project, run_id, attempt, producer_id, host, principal, pool, node, resource, model,
                    arrayDistinct(devices), fraction, quantity, capacity_type, started_at
                ),
                (_published_at, _topic_id, _partition, _offset)
            ) AS stated
        FROM resources_allocated
        WHERE _published_at <= fromUnixTimestamp64Micro({as_of_us:Int64}, 'UTC')
        GROUP BY allocation_id
    ),
    released AS (
        SELECT
            allocation_id,
            1 AS known,
            argMax((ended_at, reason), (_published_at, _topic_id, _partition, _offset)) AS stated
        FROM resources_released
        WHERE _published_at <= fromUnixTimestamp64Micro({as_of_us:Int64}, 'UTC')
        GROUP BY allocation_id
    ),
    finished AS (
        SELECT
            run_id,
            attempt,
            1 AS known,
            argMax(occurred_at, (_published_at, _topic_id, _partition, _offset)) AS finished_at
        FROM run_finished
        WHERE _published_at <= fromUnixTimestamp64Micro({as_of_us:Int64}, 'UTC') AND run_id != ''
        GROUP BY run_id, attempt
    )
SELECT
    allocated.allocation_id AS allocation,
    toUnixTimestamp64Micro(allocated.first_published_at) AS first_published_us,
    toString(allocated.stated.1) AS project,
    toString(allocated.stated.2) AS run,
    allocated.stated.3 AS attempt,
    toString(allocated.stated.4) AS producer,
    toString(allocated.stated.5) AS host,
    toString(allocated.stated.6) AS principal,
    toString(allocated.stated.7) AS pool,
    toString(allocated.stated.8) AS node,
    toString(allocated.stated.9) AS resource,
    toString(allocated.stated.10) AS model,
    allocated.stated.11 AS devices,
    allocated.stated.12 AS fraction,
    allocated.stated.13 AS quantity,
    toString(allocated.stated.14) AS capacity_type,
    toUnixTimestamp64Micro(allocated.stated.15) AS started_us,
    if(released.known = 1, toUnixTimestamp64Micro(released.stated.1), NULL) AS released_us,
    if(finished.known = 1, toUnixTimestamp64Micro(finished.finished_at), NULL) AS finished_us
FROM allocated
LEFT JOIN released ON released.allocation_id = allocated.allocation_id
LEFT JOIN finished ON finished.run_id = allocated.stated.2 AND finished.attempt = allocated.stated.3
WHERE
    NOT (released.known = 1 AND released.stated.2 = 'void')
    AND allocated.stated.15 < fromUnixTimestamp64Micro({until_us:Int64}, 'UTC')
    AND (released.known = 0 OR released.stated.1 > fromUnixTimestamp64Micro({since_us:Int64}, 'UTC') OR released.stated.1 < allocated.stated.15)
ORDER BY allocation
