-- What people have said of runs since (tags, notes, names), as it holds at a moment: one row a run and attribute.
--
-- `set` replaces all values, a `remove` without a value removes them all; `add` and `remove` concern one value.
WITH
    changes AS (
        SELECT
            project,
            entity_id AS run_id,
            attribute,
            operation,
            value,
            (ifNull(valid_from, _published_at), _published_at, _topic_id, _partition, _offset) AS place
        FROM attribute_changed
        WHERE entity_kind = 'run'
          AND ifNull(valid_from, _published_at) <= {now:DateTime64(6, 'UTC')}
          AND (empty({run_ids:Array(String)}) OR entity_id IN {run_ids:Array(String)})
    ),
    resets AS (
        SELECT run_id, attribute, max(place) AS reset_at, 1 AS was_reset
        FROM changes
        WHERE operation = 'set' OR (operation = 'remove' AND value = '')
        GROUP BY run_id, attribute
    ),
    held AS (
        SELECT run_id, attribute, value, argMax(operation, place) AS last_operation, max(place) AS at
        FROM changes
        LEFT JOIN resets USING (run_id, attribute)
        WHERE was_reset = 0 OR place >= reset_at
        GROUP BY run_id, attribute, value
    )
SELECT run_id, attribute, arrayMap(x -> x.2, arraySort(groupArray((at, value)))) AS held_values
FROM held
WHERE last_operation != 'remove'
GROUP BY run_id, attribute
ORDER BY run_id, attribute
