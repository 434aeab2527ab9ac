-- Which offsets of a partition were recorded as missing: the row lies at the first, its text names both.
SELECT _offset AS first, toInt64(extract(detail, '^Offsets \\d+ to (\\d+) ')) AS last
FROM {table:Identifier}
WHERE _topic = {topic:String} AND _topic_id = {topic_id:String} AND _partition = {partition:Int32}
  AND reason = 'offsets_missing'
