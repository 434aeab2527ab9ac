-- Which events of these producers lie in the table at a lower offset of the same partition.
SELECT DISTINCT producer_id, sequence
FROM {table:Identifier}
WHERE _topic_id = {topic_id:String} AND _partition = {partition:Int32} AND _offset < {first:Int64}
  AND producer_id IN {producers:Array(String)} AND sequence BETWEEN {lowest:Int64} AND {highest:Int64}
