-- The messages of these dead letters of one partition, whole, in order of offset.
SELECT
    _offset AS offset,
    message_key,
    arrayMap(header -> header.1, headers) AS header_names,
    arrayMap(header -> header.2, headers) AS header_values,
    value,
    toString(producer_id) AS producer_id,
    sequence,
    _published_at AS published_at,
    toString(_principal) AS principal,
    toString(_principal_source) AS principal_source,
    toString(collector_version) AS collector_version
FROM dead_letters
WHERE _topic_id = {topic_id:String} AND _partition = {partition:Int32} AND _offset IN {offsets:Array(Int64)}
ORDER BY offset
LIMIT 1 BY offset
