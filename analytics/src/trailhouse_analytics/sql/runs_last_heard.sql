-- When was the warehouse last told anything by a running process?
SELECT if(count() = 0, NULL, max(_published_at)) AS last_heard_at
FROM heartbeat_sent
