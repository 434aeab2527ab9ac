"""An embedded warehouse for several programs: the engine of one process behind ClickHouse's HTTP interface.

`Serving` serves a directory that this process has open; `connect` of the schemas finds it by the file that says so.
"""

from trailhouse_consumer.serving.server import Serving

__all__ = ["Serving"]
