"""How fast the collector lands a topic: from the real broker into the embedded warehouse.

    python bench/landed.py BOOTSTRAP TYPE COUNT

Prints one JSON object: events, seconds, peak_mib. The clock runs from the first plan to the end of the last range, so
that neither starting nor waiting to be idle counts; the peak is that of the whole process while it collects. The
warehouse is held to have every message, once.
"""

from __future__ import annotations

import json
import logging
import resource
import sys
import tempfile
import time
import uuid
from typing import TYPE_CHECKING

import structlog

from trailhouse_consumer.service import collect
from trailhouse_consumer.settings import CollectorSettings
from trailhouse_schemas.catalogue import by_name
from trailhouse_schemas.settings import Settings
from trailhouse_schemas.warehouse import connect

if TYPE_CHECKING:
    from trailhouse_consumer.landing import Stage
    from trailhouse_consumer.sources import Partition, Plan


def main(bootstrap_servers: str, name: str, count: int) -> dict[str, float]:
    """Land it all, and check that it is there."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    table = by_name(name).table
    moments: list[float] = []

    def watch(_stage: Stage, partition: Partition, _plan: Plan) -> None:
        if partition.event_type.name == name:
            moments.append(time.perf_counter())

    with tempfile.TemporaryDirectory() as directory:
        where = Settings(kafka=bootstrap_servers, warehouse=f"chdb://{directory}/warehouse")
        collect(where, CollectorSettings(group=f"bench-{uuid.uuid4()}"), spools=[], until_idle=True, on_stage=watch)
        peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        client = connect(where.warehouse_url)
        question = "SELECT sum(n) FROM (SELECT uniqExact(_offset) AS n FROM {table:Identifier} GROUP BY _partition)"
        ((messages,),) = client.query(question, {"table": table}).result_rows
        client.close()
    assert messages == count, f"{messages} of {count} messages landed"
    return {"events": count, "seconds": moments[-1] - moments[0], "peak_mib": peak_mib}


if __name__ == "__main__":
    servers, event_name, number = sys.argv[1:]
    print(json.dumps(main(servers, event_name, int(number))))
