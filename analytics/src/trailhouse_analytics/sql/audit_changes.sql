-- Which statements about permissions were published, in order of publication?
SELECT
    grant_id, change, effect, grantee_kind, grantee, actions, resource, expires_at, requested_by, approved_by, reason,
    producer_id, sequence, _published_at AS published_at
FROM permission_changed
ORDER BY _published_at, _topic_id, _partition, _offset
