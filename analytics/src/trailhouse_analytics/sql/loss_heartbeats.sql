-- What did these producers say of themselves, heartbeat by heartbeat?
SELECT
    producer_id,
    sequence,
    max(events_emitted) AS emitted,
    max(events_dropped) AS dropped
FROM heartbeat_sent
WHERE subject_producer_id IN {producers:Array(String)} AND producer_id = subject_producer_id
GROUP BY producer_id, sequence
ORDER BY producer_id, sequence
