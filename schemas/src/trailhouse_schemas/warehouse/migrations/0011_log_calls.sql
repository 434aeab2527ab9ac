-- How long the calls of log took that a run made.
ALTER TABLE run_finished ADD COLUMN IF NOT EXISTS log_calls_by_duration Array(Int64) CODEC(ZSTD(1)) AFTER reported_by;
