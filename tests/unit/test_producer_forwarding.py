"""What `trailhouse forward` does with spools that something is wrong with; no broker is needed for that."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from collected import new_producer_id, spooled
from trailhouse.forwarder import Forwarder
from trailhouse.forwarding import forward_all
from trailhouse_schemas.spool import spool_files

if TYPE_CHECKING:
    from pathlib import Path

    from trailhouse.publisher import Publisher


def test_spools_that_cannot_be_forwarded_are_left_alone_and_the_others_go_on(tmp_path: Path) -> None:
    """One that is no database, one whose lock cannot be had, and one that is finished: it leaves."""
    for producer_id in ("0-locked", new_producer_id()):
        spooled(tmp_path, [], producer_id)
    (tmp_path / "0-junk.spool").write_bytes(b"this is no database" * 1000)
    lock = tmp_path / "0-locked.spool.drainer"
    lock.unlink(missing_ok=True)
    lock.mkdir()
    left = forward_all(
        [tmp_path],
        Forwarder(cast("Publisher", None)),
        should_stop=lambda: False,
        on_forwarded=lambda _path, _count: None,
    )
    assert left == 0
    assert [file.name for file in spool_files(tmp_path)] == ["0-junk.spool", "0-locked.spool"]
