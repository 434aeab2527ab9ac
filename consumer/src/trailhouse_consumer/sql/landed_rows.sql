-- As landed_offsets.sql, where a record has several rows.
SELECT _offset, ordinal
FROM {table:Identifier}
WHERE _topic = {topic:String} AND _topic_id = {topic_id:String} AND _partition = {partition:Int32}
  AND _offset BETWEEN {first:Int64} AND {last:Int64}
