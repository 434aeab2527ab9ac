-- How long was each piece of an allocation measured, and how long was it in use, added up over its devices?
--
-- A sample counts until its end or until the next sample of the same device begins, whichever is first; of samples
-- that begin together the one published last counts. So nothing is counted twice, whoever reports it how often. What
-- was not measured (null) hides nothing. Memory without a utilization is used as far as it is filled. A piece is from bounds[i] to bounds[i + 1]; its number is first_piece + i - 1.
-- Utilization counts in millionths: `used_us` and `used_rest` are the quotient and rest of their sum by 1,000,000.
WITH
    stretches AS (
        SELECT
            allocation_id,
            resource,
            ifNull(utilization, if(resource = 'memory', memory_used_bytes / memory_total_bytes, NULL)) AS share,
            toUnixTimestamp64Micro(interval_start) AS begins,
            least(
                begins + toInt64(round(least(interval_seconds, 3e9) * 1e6)),
                leadInFrame(begins, 1, 9223372036854775807) OVER (
                    PARTITION BY allocation_id, resource, device
                    ORDER BY begins, _published_at, _topic_id, _partition, _offset
                    ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING
                )
            ) AS ends,
            toInt64(round(least(greatest(assumeNotNull(share), 0), 1) * 1e6)) AS millionths
        FROM resources_sampled
        WHERE
            _published_at BETWEEN fromUnixTimestamp64Micro({published_since_us:Int64}, 'UTC') AND fromUnixTimestamp64Micro({as_of_us:Int64}, 'UTC')
            AND allocation_id IN (SELECT allocation FROM {pieces:Identifier})
            AND isFinite(interval_seconds)
            AND interval_seconds > 0
            AND isFinite(share)
    ),
    parts AS (
        SELECT
            pieces.first_piece + i - 1 AS piece,
            least(pieces.bounds[i + 1], stretches.ends) - greatest(pieces.bounds[i], stretches.begins) AS length_us,
            stretches.millionths AS millionths
        FROM stretches
        INNER JOIN {pieces:Identifier} AS pieces
            ON pieces.allocation = stretches.allocation_id AND pieces.resource = stretches.resource
        ARRAY JOIN arrayFilter(
            i -> pieces.bounds[i] < stretches.ends AND pieces.bounds[i + 1] > stretches.begins,
            range(1, length(pieces.bounds))
        ) AS i
    )
SELECT
    toInt64(piece) AS piece,
    sum(length_us) AS measured_us,
    toInt64(intDiv(sum(toInt128(length_us) * millionths), 1000000)) AS used_us,
    toInt64(sum(toInt128(length_us) * millionths) % 1000000) AS used_rest
FROM parts
GROUP BY piece
