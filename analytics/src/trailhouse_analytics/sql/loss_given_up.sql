-- Which dead letters have people dropped, who, and why? Neighbours that were dropped alike are one range.
SELECT
    producer_id,
    min(sequence) AS first,
    max(sequence) AS last,
    dropped_by,
    dropped_why
FROM (
    SELECT
        producer_id,
        sequence,
        dropped_by,
        dropped_why,
        sequence - row_number() OVER (PARTITION BY producer_id, dropped_by, dropped_why ORDER BY sequence) AS island
    FROM (
        SELECT DISTINCT toString(producer_id) AS producer_id, assumeNotNull(sequence) AS sequence, dropped_by, dropped_why
        FROM dead_letters_standing
        WHERE standing = 'dropped' AND producer_id != '' AND sequence >= 0
    )
)
GROUP BY producer_id, dropped_by, dropped_why, island
ORDER BY producer_id, first
