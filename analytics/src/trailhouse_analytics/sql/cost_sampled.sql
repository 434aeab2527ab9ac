-- How many devices of each allocation were ever measured, and until when?
SELECT
    toString(allocation_id) AS allocation,
    toString(resource) AS resource,
    uniqExact(device) AS devices,
    max(toUnixTimestamp64Micro(interval_start) + toInt64(least(interval_seconds, 3e9) * 1e6)) AS sampled_us
FROM resources_sampled
WHERE
    _published_at BETWEEN fromUnixTimestamp64Micro({published_since_us:Int64}, 'UTC') AND fromUnixTimestamp64Micro({as_of_us:Int64}, 'UTC')
    AND allocation_id IN (SELECT allocation FROM {pieces:Identifier})
    AND isFinite(interval_seconds)
    AND interval_seconds > 0
    AND isFinite(ifNull(utilization, if(resource = 'memory', memory_used_bytes / memory_total_bytes, NULL)))
GROUP BY allocation_id, resource
