"""The encoding of metric points, the one thing that is encoded a million times a second.

The same bytes as fastavro's, which the tests hold it to; fastavro takes 2 us a point, most of it to find out what each
is, and this 0.4: in calls of `log` all points have the step and the time in common, and values come as doubles.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from fastavro import schemaless_writer
from fastavro.schema import parse_schema

from trailhouse_schemas.versions import latest

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["Points", "encode_metrics", "name_to_bytes"]

_NO_STEP: Final = b"\x00"
_STEP: Final = b"\x02"
_END: Final = b"\x00"


@dataclass(slots=True)
class Points:
    """Encoded points of one record."""

    count: int = 0
    parts: list[bytes] = field(default_factory=list)

    def add(self, names: Sequence[bytes], step: int | None, values: Iterable[bytes], logged_at_us: int) -> None:
        """Add points that were logged at once.

        Args:
            names: what `name_to_bytes` makes of the names.
            step: the step that they have in common.
            values: doubles, little-endian; as many as there are names, what is beyond them does not count.
            logged_at_us: microseconds since 1970 (UTC).
        """
        given = _NO_STEP if step is None else _STEP + _long(step)
        at = _long(logged_at_us)
        parts = self.parts
        for name, value in zip(names, values, strict=False):
            parts += (name, given, value, at)
        self.count += len(names)


def name_to_bytes(name: str) -> bytes:
    """Return a metric's name as it stands in a point."""
    data = name.encode()
    return _long(len(data)) + data


def encode_metrics(fields: dict[str, Any], points: Points) -> bytes:
    """Return a MetricsLogged event in single-object encoding; raises whatever fastavro raises on wrong values.

    Args:
        fields: all but the points.
        points: at least one.
    """
    version = latest("metrics_logged")
    before, behind = _around_points()
    out = io.BytesIO()
    out.write(version.header)
    schemaless_writer(out, before, fields)
    out.write(_long(points.count))
    out.write(b"".join(points.parts))
    out.write(_END)
    if behind["fields"]:
        schemaless_writer(out, behind, fields)
    return out.getvalue()


def _long(value: int) -> bytes:
    """Return a long as Avro has it: zigzag, then seven bits a byte, the lowest first."""
    left = (value << 1) ^ (value >> 63)
    if left < 0x80:  # noqa: PLR2004 - one byte
        return left.to_bytes(1, "little")
    out = bytearray()
    while left >= 0x80:  # noqa: PLR2004
        out.append(left & 0x7F | 0x80)
        left >>= 7
    out.append(left)
    return bytes(out)


@cache
def _around_points() -> tuple[Any, Any]:
    fields = latest("metrics_logged").schema["fields"]
    at = [each["name"] for each in fields].index("points")
    before, behind = (
        parse_schema({"type": "record", "name": name, "fields": part})
        for name, part in (("Before", fields[:at]), ("Behind", fields[at + 1 :]))
    )
    return before, behind
