-- How many dead letters do not say which event they were?
SELECT toInt64(count()) AS nameless
FROM dead_letters
WHERE producer_id = '' OR sequence IS NULL OR sequence < 0
