-- Between which heartbeats did these producers drop events? One row for each number of drops that a producer has told
-- of: the first and the last of its heartbeats that say it. Those between say nothing more.
SELECT
    producer_id,
    events_dropped AS dropped,
    min(sequence) AS first,
    argMin(events_emitted, sequence) AS first_emitted,
    max(sequence) AS last,
    argMax(events_emitted, sequence) AS last_emitted
FROM heartbeat_sent
WHERE producer_id = subject_producer_id
  AND (empty({producers:Array(String)}) OR subject_producer_id IN {producers:Array(String)})
GROUP BY producer_id, dropped
ORDER BY producer_id, first
