-- Which names of this kind (project, run, principal, node, …) has anybody ever heard of?
SELECT DISTINCT name
FROM (
    SELECT multiIf(
        {what:String} = 'project', toString(project),
        {what:String} = 'run', toString(run_id),
        {what:String} = 'principal', toString(principal),
        ''
    ) AS name
    FROM run_started
    UNION ALL
    SELECT multiIf(
        {what:String} = 'project', toString(project),
        {what:String} = 'run', toString(run_id),
        {what:String} = 'principal', toString(principal),
        {what:String} = 'node', toString(node),
        {what:String} = 'pool', toString(pool),
        {what:String} = 'resource', toString(resource),
        {what:String} = 'model', toString(model),
        {what:String} = 'capacity_type', toString(capacity_type),
        ''
    )
    FROM resources_allocated
    UNION ALL
    SELECT multiIf(
        {what:String} = 'node', toString(node),
        {what:String} = 'pool', toString(pool),
        {what:String} = 'resource', toString(resource),
        {what:String} = 'model', toString(model),
        {what:String} = 'capacity_type', toString(capacity_type),
        ''
    )
    FROM capacity_reported
    UNION ALL
    SELECT multiIf(
        {what:String} = 'pool', toString(pool),
        {what:String} = 'resource', toString(resource),
        {what:String} = 'model', toString(model),
        {what:String} = 'capacity_type', toString(capacity_type),
        ''
    )
    FROM price_set
    UNION ALL
    SELECT entity_id
    FROM attribute_changed
    WHERE attribute = 'team' AND entity_kind = 'principal' AND {what:String} = 'principal'
)
WHERE name != ''
ORDER BY name
