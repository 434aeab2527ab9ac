-- What prices were set, each (sku_id, valid_from) as it was last stated? Voided ones never were.
SELECT
    sku_id AS sku,
    toUnixTimestamp64Micro(valid_from) AS valid_from_us,
    toString(stated.1) AS pool,
    toString(stated.2) AS resource,
    toString(stated.3) AS model,
    toString(stated.4) AS capacity_type,
    stated.5 AS unit_price,
    toString(stated.6) AS currency,
    toString(stated.7) AS pricing_unit,
    toUnixTimestamp64Micro(published_at) AS published_us,
    set_by
FROM (
    SELECT
        sku_id,
        valid_from,
        argMax(
            (pool, resource, model, capacity_type, unit_price, currency, pricing_unit, voided),
            (_published_at, _topic_id, _partition, _offset)
        ) AS stated,
        max(_published_at) AS published_at,
        argMax(toString(principal), (_published_at, _topic_id, _partition, _offset)) AS set_by
    FROM price_set
    WHERE _published_at <= fromUnixTimestamp64Micro({as_of_us:Int64}, 'UTC')
    GROUP BY sku_id, valid_from
)
WHERE NOT stated.8
ORDER BY sku, valid_from_us
