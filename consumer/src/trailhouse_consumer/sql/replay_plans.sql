-- The plans of replaying a partition: their names, and which are not landed whole yet.
SELECT
    batch,
    toInt64(uniqExactIf(_offset, outcome = 'replaying')) AS letters,
    letters > toInt64(uniqExactIf(_offset, outcome IN ('replayed', 'split', 'failed'))) AS open
FROM dead_letters_settled
WHERE _topic_id = {topic_id:String} AND _partition = {partition:Int32} AND batch != ''
GROUP BY batch
