"""Grants that nobody used: what could be taken back without anybody noticing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trailhouse_analytics.permissions.tables import AuditTable, table_of
from trailhouse_schemas.policy import Principal

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from trailhouse_analytics.permissions.ledger import Ledger
    from trailhouse_analytics.permissions.uses import Use

__all__ = ["unused"]


def unused(ledger: Ledger, uses: Iterable[Use], *, since: datetime, until: datetime, principal: str = "") -> AuditTable:
    """Return the allows that were in force from `since` to `until` without a break, and unused all that time.

    A grant is used when it is among those that permitted a use at its time (a membership too, when it was on the way),
    or when a decision that allowed something names it. Denies are used by their being there, and are left out.

    Args:
        ledger: All statements about permissions.
        uses: What was done by anybody in any project up to `until`; `last_used_at` goes back as far as they do.
        since: Begin of the time.
        until: End of the time.
        principal: Only grants to this grantee; empty for all.
    """
    last_used: dict[str, datetime] = {}
    for use in uses:
        if use.happened:
            permitted = use.permission.grant_ids if use.permission else []
            for grant_id in {*permitted, *use.named_grant_ids}:
                last_used[grant_id] = max(use.last_at, last_used.get(grant_id, use.last_at))
    words = {change.grant_id: change for change in ledger.changes if change.change == "granted"}
    return table_of(
        "unused",
        (
            {
                "grant_id": grant.grant_id,
                "grantee": str(grant.principal),
                "actions": list(grant.actions),
                "resource": grant.resource,
                "granted_at": grant.granted_at,
                "expires_at": grant.expires_at,
                "last_used_at": last_used.get(grant.grant_id),
                "approved_by": words[grant.grant_id].approved_by,
                "reason": words[grant.grant_id].reason,
            }
            for grant in ledger.as_of(until).grants
            if grant.effect == "allow"
            and grant.granted_at <= since
            and (grant.grant_id not in last_used or last_used[grant.grant_id] < since)
            and (not principal or grant.principal == Principal.parse(principal))
        ),
    )
