-- Who was ever named: given a permission, decided about, or acting? Users may be written with their kind or without.
SELECT DISTINCT toString(name) AS name
FROM
(
    SELECT principal AS name FROM run_started
    UNION ALL SELECT subject FROM access_decided
    UNION ALL SELECT principal FROM dataset_logged
    UNION ALL SELECT principal FROM model_logged
    UNION ALL SELECT principal FROM artifact_logged
    UNION ALL SELECT concat(grantee_kind, ':', grantee) FROM permission_changed
    UNION ALL SELECT resource FROM permission_changed WHERE has(actions, 'member') AND startsWith(resource, 'group:')
)
WHERE name != ''
ORDER BY name
