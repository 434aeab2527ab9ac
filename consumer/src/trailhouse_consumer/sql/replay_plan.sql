-- The letters of one plan of replaying, who claimed it, and with which version.
SELECT DISTINCT _offset AS offset, claim, toString(settled_by) AS settled_by, toString(collector_version) AS collector_version
FROM dead_letters_settled
WHERE _topic_id = {topic_id:String} AND _partition = {partition:Int32} AND batch = {batch:String} AND outcome = 'replaying'
ORDER BY offset
