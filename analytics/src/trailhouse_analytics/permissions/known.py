"""Whether anybody was ever heard of by a name, so that a slip of the pen is not taken for somebody with no rights."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trailhouse_analytics.errors import AnalyticsError
from trailhouse_analytics.queries import ask
from trailhouse_schemas.names import near
from trailhouse_schemas.policy import Principal

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

__all__ = ["check_principal"]


def check_principal(client: Client, principal: str) -> None:
    """Raise `AnalyticsError` unless this user, service or group was ever given something, decided about, or acted."""
    if not principal:
        return
    wanted = str(Principal.parse(principal))
    known = {str(Principal.parse(name)) for name in ask(client, "audit_known_principals").column("name").to_pylist()}
    if wanted not in known:
        way_out = near(wanted, known, otherwise="list them with 'trailhouse audit permissions'")
        raise AnalyticsError(f"Principal {principal!r} is not known{way_out}")
