-- The highest sequence of each of these producers that a partition has landed. Answered by the projection `sequences`.
SELECT producer_id, max(sequence) AS highest
FROM {table:Identifier}
WHERE _topic_id = {topic_id:String} AND _partition = {partition:Int32} AND producer_id IN {producers:Array(String)}
GROUP BY producer_id
