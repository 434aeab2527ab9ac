-- Which dead letters are meant? In order of place, without what makes them big; as letters_grouped.sql chooses them.
SELECT
    letter,
    toString(_topic) AS topic,
    toString(_topic_id) AS topic_id,
    _partition AS partition,
    _offset AS offset,
    reason_now AS reason,
    detail_now AS detail,
    toString(producer_id) AS producer_id,
    sequence,
    toInt64(length(ifNull(value, ''))) AS bytes,
    _published_at AS published_at,
    toString(_principal) AS principal,
    toString(_principal_source) AS principal_source
FROM dead_letters_standing
WHERE standing = {standing:String}
  AND (empty({letters:Array(String)}) OR arrayExists(beginning -> startsWith(letter, beginning), {letters:Array(String)}))
  AND (empty({topics:Array(String)}) OR _topic IN {topics:Array(String)})
  AND (empty({reasons:Array(String)}) OR reason_now IN {reasons:Array(String)})
  AND (empty({producer:String}) OR producer_id = {producer:String})
  AND (empty({project:String}) OR producer_id IN (SELECT producer_id FROM heartbeat_sent WHERE project = {project:String}))
  AND _published_at >= {since:DateTime64(6, 'UTC')} AND _published_at < {until:DateTime64(6, 'UTC')}
ORDER BY topic, topic_id, partition, offset
LIMIT {limit:UInt64}
