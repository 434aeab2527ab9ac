-- How many inserts of ranges are still going on, of whichever collector.
SELECT count() FROM system.processes WHERE Settings['insert_deduplication_token'] != ''
