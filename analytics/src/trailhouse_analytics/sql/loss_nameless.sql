-- How many dead letters do not say which event they were? What was replayed says so in its table.
SELECT toInt64(count()) AS nameless
FROM dead_letters_standing
WHERE (producer_id = '' OR sequence IS NULL OR sequence < 0) AND standing != 'replayed'
