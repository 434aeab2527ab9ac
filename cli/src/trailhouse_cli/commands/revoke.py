"""`trailhouse revoke`: take a grant back."""

from __future__ import annotations

import click

__all__ = ["command"]


@click.command()
@click.argument("grant_id")
@click.option("--reason", required=True, help="Why.")
@click.option("--requested-by", default="", help="Who asked for it.")
@click.option("--approved-by", default="", help="Who approved it.")
def command(*, grant_id: str, reason: str, requested_by: str, approved_by: str) -> None:
    """Take the grant GRANT_ID back, and return when it is in force no longer.

    The ids of the grants in force are in 'trailhouse audit permissions'; 'trailhouse grant' printed them.
    """
    from trailhouse.api import finish_all  # noqa: PLC0415 - only when it is run
    from trailhouse.grants import revoke  # noqa: PLC0415

    revoke(grant_id, reason=reason, requested_by=requested_by, approved_by=approved_by)
    finish_all()
    click.echo(f"revoked {grant_id}")
