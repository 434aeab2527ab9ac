-- Which resources did these runs hold, from when to when? The latest published word on an allocation holds.
WITH
    allocated AS (
        SELECT *
        FROM resources_allocated
        WHERE run_id IN {run_ids:Array(String)}
        ORDER BY _published_at DESC, _offset DESC
        LIMIT 1 BY allocation_id
    ),
    released AS (
        SELECT
            allocation_id,
            argMax((ended_at, reason), (_published_at, _topic_id, _partition, _offset)) AS said,
            1 AS known
        FROM resources_released
        WHERE allocation_id IN (SELECT allocation_id FROM resources_allocated WHERE run_id IN {run_ids:Array(String)})
        GROUP BY allocation_id
    )
SELECT
    allocated.run_id AS run_id,
    allocated.rank AS rank,
    allocated.allocation_id AS allocation_id,
    pool,
    node,
    resource,
    model,
    quantity,
    fraction,
    devices,
    capacity_type,
    started_at,
    if(released.known = 1, released.said.1, NULL) AS ended_at,
    released.said.2 AS reason
FROM allocated
LEFT JOIN released USING (allocation_id)
WHERE reason != 'void'
ORDER BY run_id, started_at, allocation_id
