-- How many inserts under a token are still going on: one that this collector gave up may not be over in the server.
SELECT count() FROM system.processes WHERE Settings['insert_deduplication_token'] = {token:String}
