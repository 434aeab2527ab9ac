-- Which profiles does this dataset have? One row for each version, split, segment and window, the latest published last.
SELECT
    version,
    split,
    mapSort(segment) AS segment,
    window_start,
    window_end,
    max(_published_at) AS published_at
FROM dataset_profiled
WHERE dataset_id = {dataset_id:String}
  AND (empty({digest:String}) OR digest = {digest:String})
  AND _published_at <= {as_of:DateTime64(6, 'UTC')}
GROUP BY version, split, segment, window_start, window_end
ORDER BY published_at
