-- Which models did these runs make, of what, and by way of which preprocessing?
SELECT
    run_id, model_id, name, version, framework, framework_version, class_name, mapSort(arguments) AS arguments, uri,
    digest, size_bytes, requirements, input_signature, output_signature, preprocessing, features, step, rank
FROM model_logged
WHERE run_id IN {run_ids:Array(String)}
ORDER BY run_id, occurred_at, sequence
LIMIT 1 BY producer_id, sequence
