-- How many rows does a table hold, and of what broker's time is the newest?
SELECT toInt64(count()) AS rows, maxOrNull(_published_at) AS newest_at FROM {table:Identifier}
