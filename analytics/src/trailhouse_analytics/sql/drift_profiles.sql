-- The profiles of one version, split and segment of a dataset, or of its windows within a stretch of time, in the order
-- in which they were published: of two that say the same thing the later one counts.
SELECT
    dataset_id,
    version,
    split,
    segment,
    window_start,
    window_end,
    shard,
    shards,
    revision,
    `column`,
    position,
    type,
    measure,
    role,
    rows,
    nulls,
    infinities,
    distinct,
    edges_name,
    edges,
    counts,
    top_categories,
    other_count,
    sample,
    sample_priorities
FROM dataset_profiled
WHERE dataset_id = {dataset_id:String}
  AND (empty({digest:String}) OR digest = {digest:String})
  AND split = {split:String}
  AND mapKeys(mapSort(segment)) = {segment_keys:Array(String)}
  AND mapValues(mapSort(segment)) = {segment_values:Array(String)}
  AND if({window_start:Nullable(DateTime64(6, 'UTC'))} IS NULL,
         window_start IS NULL AND version = {version:String},
         window_start >= {window_start:Nullable(DateTime64(6, 'UTC'))}
             AND window_end <= {window_end:Nullable(DateTime64(6, 'UTC'))}
             AND (empty({version:String}) OR version = {version:String}))
  AND _published_at <= {as_of:DateTime64(6, 'UTC')}
ORDER BY _published_at, _topic_id, _partition, _offset
