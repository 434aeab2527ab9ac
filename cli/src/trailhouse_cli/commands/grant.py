"""`trailhouse grant`: give somebody a permission, or deny them something."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from trailhouse_cli.errors import BadInputError
from trailhouse_cli.times import parse_moment

if TYPE_CHECKING:
    from trailhouse.grants import GranteeKind

__all__ = ["command", "parse_expiry"]


def parse_expiry(text: str, now: datetime) -> datetime:
    """Return the moment that `text` means: ISO 8601, or a stretch of time from now on, such as 12h, 30d, 4w.

    Raises:
        ValueError: it means none.
    """
    moment = parse_moment(text, now)
    is_stretch = text.strip()[:1].isdigit() and text.strip()[-1:] in "smhdw"
    try:
        return now + (now - moment) if is_stretch else moment
    except OverflowError:
        raise ValueError(f"{text!r} is after the end of all time; name an earlier moment") from None


@click.command()
@click.argument("grantee")
@click.option("--action", "-a", "actions", multiple=True, required=True, help="read, train, …; * stands for any text.")
@click.option("--resource", "-r", required=True, help="KIND:NAME, such as 'dataset:emea/*'; * stands for any text.")
@click.option("--deny", is_flag=True, help="Deny it: that outweighs every permission.")
@click.option("--group", "is_group", is_flag=True, help="GRANTEE is a group.")
@click.option("--service", "is_service", is_flag=True, help="GRANTEE is a service.")
@click.option("--expires", help="When it ends: 2026-12-31, or 12h, 30d, 4w from now.")
@click.option("--reason", default="", help="Why.")
@click.option("--requested-by", default="", help="Who asked for it.")
@click.option("--approved-by", default="", help="Who approved it.")
def command(
    *,
    grantee: str,
    actions: tuple[str, ...],
    resource: str,
    deny: bool,
    is_group: bool,
    is_service: bool,
    expires: str | None,
    reason: str,
    requested_by: str,
    approved_by: str,
) -> None:
    """Give GRANTEE a permission, and print the id of the grant when it is in force.

    \b
    trailhouse grant alice --action read --action train --resource 'dataset:emea/*'
    trailhouse grant alice --action member --resource group:analysts
    trailhouse grant analysts --group --action read --resource 'dataset:*' --expires 30d
    """  # noqa: D301 - click's mark for lines that it must not join
    if is_group and is_service:
        raise BadInputError(f"Grantee {grantee!r} cannot be a group and a service; leave --group or --service out")
    kind: GranteeKind = "group" if is_group else "service" if is_service else "user"
    try:
        expires_at = None if expires is None else parse_expiry(expires, datetime.now(UTC))
    except ValueError as error:
        raise BadInputError(f"Expiry {str(error).replace('(ago)', '(from now)')}") from None
    from trailhouse.api import finish_all  # noqa: PLC0415 - only when it is run
    from trailhouse.grants import grant  # noqa: PLC0415

    grant_id = grant(
        grantee,
        actions,
        resource,
        effect="deny" if deny else "allow",
        grantee_kind=kind,
        expires_at=expires_at,
        requested_by=requested_by,
        approved_by=approved_by,
        reason=reason,
    )
    finish_all()
    click.echo(grant_id)
