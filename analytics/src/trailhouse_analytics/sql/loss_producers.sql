-- For each producer: how many of its events are there, which are not, and what did it say of itself?
--
-- EVENTS stands for one row an event out of every event table. Sequences are counted as compressed bitmaps, which take a
-- few bytes where sequences are contiguous. A producer that is asked for by some of its events is counted with all of them.
-- Its holes are the gaps between neighbours; those of one with very many events are left to loss_holes, as unpacking so
-- large a bitmap takes memory. What dead letters lack is of the same types as in the tables: a LowCardinality that were
-- widened for them would cost a fifth of the time.
WITH
    asked_for AS (
        SELECT DISTINCT producer_id
        FROM (EVENTS)
        WHERE NOT {everything:Bool}
          AND (empty({project:String}) OR project = {project:String})
          AND (empty({run_id:String}) OR run_id = {run_id:String})
          AND occurred_at >= {since:DateTime64(6, 'UTC')}
          AND occurred_at < {until:DateTime64(6, 'UTC')}
    ),
    seen AS (
        SELECT
            producer_id,
            max(project) AS project,
            max(run_id) AS run_id,
            max(attempt) AS attempt,
            max(rank) AS rank,
            max(host) AS host,
            countIf(in_table) AS landed_rows,
            groupBitmapIf(toUInt64(sequence), in_table) AS landed,
            groupBitmapState(toUInt64(sequence)) AS places,
            toInt64(bitmapCardinality(places)) AS seen,
            toInt64(max(sequence)) AS last_sequence,
            seen <= last_sequence AND last_sequence < {unpacked:Int64} AS unpack,
            if(unpack, arraySort(CAST(bitmapToArray(places), 'Array(Int64)')), []) AS there,  -- small bitmaps are not sorted
            if(unpack, arrayPushFront(arrayPopBack(there), toInt64(-1)), []) AS before,
            arrayMap(x -> x + 1, arrayFilter((x, y) -> x + 1 < y, before, there)) AS hole_firsts,
            arrayMap(y -> y - 1, arrayFilter((y, x) -> x + 1 < y, there, before)) AS hole_lasts
        FROM (
            SELECT project, run_id, attempt, rank, host, producer_id, sequence, true AS in_table
            FROM (EVENTS)
            UNION ALL
            SELECT
                toLowCardinality(''), toLowCardinality(''), toInt64(0), toInt64(0), toLowCardinality(''), producer_id,
                assumeNotNull(sequence), false
            FROM dead_letters
            WHERE producer_id != '' AND sequence >= 0
        )
        WHERE {everything:Bool} OR producer_id IN (SELECT producer_id FROM asked_for)
        GROUP BY producer_id
    ),
    said AS (
        SELECT
            subject_producer_id,
            max(own) AS has_heartbeat,
            maxIf(events_emitted, own) AS emitted,
            maxIf(events_dropped, own) AS dropped,
            maxIf(points_dropped, own) AS points_dropped,
            max(own AND phase = 'finished') AS finished,
            minOrNullIf(occurred_at, phase = 'found_dead') AS found_dead_at,
            max(own AND phase = 'found_dead') AS end_is_counted,
            maxIf(occurred_at, own AND phase != 'found_dead') AS last_heard_at,
            argMaxIf(next_due_at, sequence, own) AS next_due_at,
            argMaxIf(flush_interval_seconds, sequence, own) AS flush_interval_seconds
        FROM (SELECT *, producer_id = subject_producer_id AS own FROM heartbeat_sent)
        WHERE {everything:Bool} OR subject_producer_id IN (SELECT producer_id FROM asked_for)
        GROUP BY subject_producer_id
    )
SELECT
    if(seen.producer_id = '', said.subject_producer_id, seen.producer_id) AS producer_id,
    seen.project AS project,
    seen.run_id AS run_id,
    seen.attempt AS attempt,
    seen.rank AS rank,
    seen.host AS host,
    toInt64(seen.landed_rows) AS landed_rows,
    toInt64(seen.landed) AS landed,
    seen.seen AS seen,
    if(seen.producer_id = '', -1, seen.last_sequence) AS last_sequence,
    seen.hole_firsts AS hole_firsts,
    seen.hole_lasts AS hole_lasts,
    toBool(said.has_heartbeat) AS has_heartbeat,
    said.emitted AS emitted,
    said.dropped AS dropped,
    said.points_dropped AS points_dropped,
    toBool(said.finished) AS finished,
    said.found_dead_at AS found_dead_at,
    toBool(said.end_is_counted) AS end_is_counted,
    said.last_heard_at AS last_heard_at,
    said.next_due_at AS next_due_at,
    said.flush_interval_seconds AS flush_interval_seconds
FROM seen
FULL JOIN said ON seen.producer_id = said.subject_producer_id
ORDER BY producer_id
