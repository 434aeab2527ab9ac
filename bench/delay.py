"""How long a published event takes until it can be asked for: from the broker's time to the acknowledged insert.

    python bench/delay.py BOOTSTRAP SECONDS

Publishes 1,000 ResourcesSampled events a second while a collector with its usual settings runs, and prints one JSON
object: events, and the delay in seconds by quantile. The topic is to be there, empty, with LogAppendTime.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import tempfile
import threading
import time
import uuid
from typing import TYPE_CHECKING, Final

import numpy as np
import structlog
from confluent_kafka import Producer
from load import PARTITIONS, single_events

from trailhouse_consumer.landing import Stage
from trailhouse_consumer.service import collect
from trailhouse_consumer.settings import CollectorSettings
from trailhouse_schemas.catalogue import by_name
from trailhouse_schemas.settings import Settings
from trailhouse_schemas.warehouse import connect, migrate

if TYPE_CHECKING:
    from trailhouse_consumer.sources import Partition, Plan

_PER_SECOND: Final = 1000
_TICK_SECONDS: Final = 0.01
_LAST_SECONDS: Final = 5.0
_NAME: Final = "resources_sampled"


def publish(bootstrap_servers: str, seconds: float) -> None:
    """Publish at a steady rate, each event for itself."""
    producer = Producer({"bootstrap.servers": bootstrap_servers, "acks": "all", "linger.ms": 5})
    events = single_events()
    began, sent = time.monotonic(), 0
    while (gone := time.monotonic() - began) < seconds:
        while sent < gone * _PER_SECOND:
            key, value, headers, partition = next(events)
            producer.produce(by_name(_NAME).topic, value, key=key, partition=partition % PARTITIONS, headers=headers)
            sent += 1
        producer.poll(0)
        time.sleep(_TICK_SECONDS)
    assert producer.flush(30) == 0


def end_after(publisher: threading.Thread) -> None:
    """End the collector, which is a service and waits for more, when all has been published and had its time."""
    publisher.join()
    time.sleep(_LAST_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)


def main(bootstrap_servers: str, seconds: float) -> dict[str, float]:
    """Publish and collect at the same time; compare the times."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    landed: list[tuple[int, int, int, float]] = []

    def watch(stage: Stage, partition: Partition, plan: Plan) -> None:
        if stage is Stage.INSERTED:
            landed.append((partition.number, plan.first, plan.last, time.time()))

    publisher = threading.Thread(target=publish, args=(bootstrap_servers, seconds))
    with tempfile.TemporaryDirectory() as directory:
        where = Settings(kafka=bootstrap_servers, warehouse=f"chdb://{directory}/warehouse")
        client = connect(where.warehouse_url, create=True)
        migrate(client)
        client.close()
        publisher.start()
        threading.Thread(target=end_after, args=(publisher,)).start()
        collect(where, CollectorSettings(group=f"bench-{uuid.uuid4()}"), spools=[], on_stage=watch)
        client = connect(where.warehouse_url)
        delays = []
        for number, first, last, at in landed:
            published = client.query_arrow(
                "SELECT toUnixTimestamp64Micro(_published_at) AS us FROM resources_sampled "
                "WHERE _partition = {number:Int32} AND _offset BETWEEN {first:Int64} AND {last:Int64}",
                {"number": number, "first": first, "last": last},
            )
            delays.append(at - published.column("us").to_numpy() / 1e6)
        client.close()
    # What had gathered before the collector was up does not count.
    each = np.concatenate(sorted(delays, key=len)[:-PARTITIONS])
    return {"events": len(each), "p50_s": float(np.quantile(each, 0.5)), "p99_s": float(np.quantile(each, 0.99))}


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], float(sys.argv[2]))))
