-- One row an event. The placeholders in capitals stand for each event table in turn, and for the first row of a record.
SELECT project, run_id, attempt, rank, host, producer_id, sequence, occurred_at, _published_at, 'TABLE' AS table_name
FROM TABLE
WHERE ROWS
