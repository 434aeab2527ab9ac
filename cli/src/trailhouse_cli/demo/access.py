"""What people do with the data in the demo, each in a process of their own: `python -m … WHO`.

Alice may read it, and profiles the training data and then what production sees now. Bob's grant was revoked; he asks,
is denied, and reads it all the same.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta

import click

import trailhouse
from trailhouse_cli.demo import data

__all__ = ["alice", "bob"]


def alice() -> None:
    """Profile the training data, and the last day of production."""
    if not trailhouse.authorize("alice", "read", f"dataset:{data.DATASET_ID}", purpose="watch for drift"):
        raise SystemExit("alice may not read the data")
    now = datetime.now(UTC)
    with trailhouse.start_run(project=data.PROJECT, name="watch production", kind="evaluate", principal="alice") as run:
        run.log_dataset(data.training_slice(), dataset_id=data.DATASET_ID, version="under-55")
        reference = run.profile_dataset(
            data.training_slice(), dataset_id=data.DATASET_ID, version="under-55", roles={data.TARGET: "target"}
        )
        run.profile_dataset(
            data.production_slice().drop(columns=data.TARGET),
            dataset_id=data.DATASET_ID,
            version="production",
            window_start=now - timedelta(days=1),
            window_end=now,
            reference=reference,
        )


def bob() -> None:
    """Ask, be denied, and read all the same: what an audit is for."""
    decision = trailhouse.authorize("bob", "read", f"dataset:{data.DATASET_ID}", purpose="curiosity")
    click.echo(f"bob asks to read {data.DATASET_ID}: {'allowed' if decision else 'denied'}")
    with trailhouse.start_run(project=data.PROJECT, name="a look around", kind="evaluate", principal="bob") as run:
        run.log_dataset(data.training_slice(), dataset_id=data.DATASET_ID, version="under-55")


if __name__ == "__main__":
    {"alice": alice, "bob": bob}[sys.argv[1]]()
