-- Which sequence of these producers is the first that is there and was published since `since`? What comes before it may
-- have been published before, and have expired. EVENTS stands for one row an event out of every event table.
SELECT producer_id, min(sequence) AS first
FROM (EVENTS)
WHERE producer_id IN {producers:Array(String)} AND _published_at >= {since:DateTime64(6, 'UTC')}
GROUP BY producer_id
