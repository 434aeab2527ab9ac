-- Which offsets of a range are in a table. Answered in milliseconds by the minmax index on _offset.
SELECT _offset
FROM {table:Identifier}
WHERE _topic = {topic:String} AND _topic_id = {topic_id:String} AND _partition = {partition:Int32}
  AND _offset BETWEEN {first:Int64} AND {last:Int64}
