-- How many dead letters are there, by topic and reason, since when and until when? A project's are those of its producers.
SELECT
    toString(_topic) AS topic,
    reason_now AS reason,
    toInt64(count()) AS letters,
    toInt64(uniqExactIf(producer_id, producer_id != '')) AS producers,
    toInt64(sum(length(ifNull(value, '')))) AS bytes,
    min(_published_at) AS first_published_at,
    max(_published_at) AS last_published_at,
    any(detail_now) AS example
FROM dead_letters_standing
WHERE standing = {standing:String}
  AND (empty({letters:Array(String)}) OR arrayExists(beginning -> startsWith(letter, beginning), {letters:Array(String)}))
  AND (empty({topics:Array(String)}) OR _topic IN {topics:Array(String)})
  AND (empty({reasons:Array(String)}) OR reason_now IN {reasons:Array(String)})
  AND (empty({producer:String}) OR producer_id = {producer:String})
  AND (empty({project:String}) OR producer_id IN (SELECT producer_id FROM heartbeat_sent WHERE project = {project:String}))
  AND _published_at >= {since:DateTime64(6, 'UTC')} AND _published_at < {until:DateTime64(6, 'UTC')}
GROUP BY topic, reason
ORDER BY topic, reason
