-- Which datasets did these runs read and write? One row a dataset, version and split, however many ranks said so.
SELECT
    project,
    run_id,
    direction,
    split,
    split_fold,
    dataset_id,
    version,
    digest,
    digest_scope,
    split_scheme,
    mapSort(split_settings) AS split_settings,
    split_seed,
    split_membership_digest,
    any(split_membership_uri) AS split_membership_uri,
    any(uri) AS uri,
    any(format) AS format,
    max(rows) AS rows,
    max(size_bytes) AS size_bytes,
    any(columns) AS columns,
    any(column_lineage) AS column_lineage,
    toInt64(uniqExact(rank)) AS ranks
FROM dataset_logged
WHERE run_id IN {run_ids:Array(String)}
GROUP BY
    project, run_id, direction, split, split_fold, dataset_id, version, digest, digest_scope, split_scheme,
    split_settings, split_seed, split_membership_digest
ORDER BY run_id, direction, dataset_id, split, split_fold, min(occurred_at)
