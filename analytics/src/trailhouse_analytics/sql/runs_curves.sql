-- How did a metric go in these runs, step by step? At most {most} points a run, those that keep the curve's shape.
--
-- Where a run was restarted, the latest attempt that reached a step speaks for it; of several ranks the mean is taken.
-- Without steps (by_step = false) it goes by the seconds since the run's first point.
WITH
    points AS (
        SELECT run_id, attempt, rank, step, value, logged_at
        FROM metrics_logged
        WHERE (empty({project:String}) OR project = {project:String})
          AND run_id IN {run_ids:Array(String)}
          AND name = {name:String}
          AND split = {split:String}
          AND empty(segment)
          AND isFinite(value)
          AND (isNotNull(step) OR NOT {by_step:Bool})
    ),
    begins AS (SELECT run_id, min(logged_at) AS first_at FROM points GROUP BY run_id),
    of_attempts AS (
        SELECT
            points.run_id AS run_id,
            attempt,
            if({by_step:Bool}, toFloat64(ifNull(step, 0)), dateDiff('microsecond', first_at, logged_at) / 1e6) AS x,
            avg(value) AS y
        FROM points
        INNER JOIN begins ON begins.run_id = points.run_id
        GROUP BY run_id, attempt, x
    ),
    curves AS (SELECT run_id, x, argMax(y, attempt) AS y FROM of_attempts GROUP BY run_id, x)
SELECT run_id, point.1 AS x, point.2 AS y
FROM (
    SELECT run_id, arrayJoin(largestTriangleThreeBuckets({most:UInt32})(x, y)) AS point
    FROM curves
    GROUP BY run_id
)
ORDER BY run_id, x
