-- What was said of the teams of runs, projects and principals, in the order in which it holds?
SELECT
    toString(entity_kind) AS kind,
    entity_id AS entity,
    toString(operation) AS operation,
    value,
    toUnixTimestamp64Micro(ifNull(valid_from, _published_at)) AS valid_from_us
FROM attribute_changed
WHERE
    attribute = 'team'
    AND entity_kind IN ('run', 'project', 'principal')
    AND _published_at <= fromUnixTimestamp64Micro({as_of_us:Int64}, 'UTC')
ORDER BY kind, entity, valid_from_us, _published_at, _topic_id, _partition, _offset
