-- Which offsets of a range are in a table, as stretches without a hole. What says that offsets are missing is no message.
SELECT min(_offset) AS first, max(_offset) AS last
FROM (
    SELECT _offset, _offset - row_number() OVER (ORDER BY _offset) AS stretch
    FROM (
        SELECT DISTINCT _offset
        FROM {table:Identifier}
        WHERE _topic = {topic:String} AND _topic_id = {topic_id:String} AND _partition = {partition:Int32}
          AND _offset BETWEEN {first:Int64} AND {last:Int64}
    )
)
GROUP BY stretch
ORDER BY first
