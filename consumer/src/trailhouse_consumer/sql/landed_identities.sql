-- Which of these events are in a table, from wherever they came? An event is a producer (by its place in the list, from 1)
-- and a sequence.
WITH wanted AS (
    SELECT {producers:Array(String)}[tupleElement(pair, 1)] AS producer_id, tupleElement(pair, 2) AS sequence
    FROM (SELECT arrayJoin(arrayZip({codes:Array(Int64)}, {sequences:Array(Int64)})) AS pair)
)
SELECT DISTINCT toString(producer_id) AS producer_id, sequence
FROM {table:Identifier}
WHERE producer_id IN {producers:Array(String)} AND (toString(producer_id), sequence) IN (SELECT producer_id, sequence FROM wanted)
