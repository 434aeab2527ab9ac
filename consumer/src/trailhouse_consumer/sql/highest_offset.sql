-- The highest offset of a partition that a table holds, and whether it holds any. Answered by the projection `sequences`.
SELECT max(_offset) AS highest, count() > 0 AS any
FROM {table:Identifier}
WHERE _topic_id = {topic_id:String} AND _partition = {partition:Int32}
