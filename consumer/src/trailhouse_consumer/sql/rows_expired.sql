-- Before when may rows of a table have expired, in microseconds since 1970? No row where they never do.
SELECT toUnixTimestamp64Micro(published_before) AS before_us
FROM rows_expired
WHERE table_name = {table:String}
