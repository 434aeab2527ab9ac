-- The value of these parameters (of all, where none is named) in every run, as JSON: of several the last stated.
SELECT
    project,
    run_id,
    parameter.1 AS name,
    argMax(parameter.2, (attempt, occurred_at, sequence)) AS value
FROM (
    SELECT
        project,
        run_id,
        attempt,
        occurred_at,
        sequence,
        arrayJoin(
            arrayZip(
                if(empty({names:Array(String)}), mapKeys(parameters), CAST({names:Array(String)}, 'Array(LowCardinality(String))')),
                if(empty({names:Array(String)}), mapValues(parameters), arrayMap(n -> parameters[n], {names:Array(String)}))
            )
        ) AS parameter
    FROM parameters_logged
    WHERE run_id != ''
      AND (empty({project:String}) OR project = {project:String})
      AND (empty({run_ids:Array(String)}) OR run_id IN {run_ids:Array(String)})
)
WHERE parameter.2 != ''
GROUP BY project, run_id, name
ORDER BY name
