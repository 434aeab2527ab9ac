"""What a collector tells of itself while it runs: metrics, whether it is alive and ready, and its log.

`metrics` is the one list of what is measured, `backlog` tells what is not landed yet, `health` decides what is alive
and ready, `warehouse` asks the warehouse beside the loop, `server` serves all that over HTTP, and `reading` is the way
back: from what a collector serves to what an operator is shown.
"""

from trailhouse_consumer.monitoring.health import Health
from trailhouse_consumer.monitoring.logs import configure_logs
from trailhouse_consumer.monitoring.metrics import Metrics

__all__ = ["Health", "Metrics", "configure_logs"]
