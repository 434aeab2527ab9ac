-- How many replicas has the shard of a cluster that has fewest?
SELECT toInt64(min(replicas)) AS replicas
FROM (SELECT count() AS replicas FROM system.clusters WHERE cluster = {cluster:String} GROUP BY shard_num)
