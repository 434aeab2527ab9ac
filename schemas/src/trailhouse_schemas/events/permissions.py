"""Permissions: who may do what, who decided so, and what was done."""

from typing import Literal

from pydantic import Field

from trailhouse_schemas.events.base import Event, Timestamp

__all__ = ["AccessDecided", "PermissionChanged"]


class PermissionChanged(Event):
    """A grant was given or taken back. Membership of a group is a grant of the action `member` on `group:NAME`."""

    grant_id: str = Field(description="The grant; a revocation names the grant that it takes back.")
    change: Literal["granted", "revoked"] = Field(description="granted or revoked.")
    effect: Literal["allow", "deny"] = Field(
        default="allow", description="allow, or deny, which outweighs every allow."
    )
    grantee_kind: Literal["user", "group", "service"] = Field(default="user", description="user, group or service.")
    grantee: str = Field(description="Who it is given to.")
    actions: list[str] = Field(description="Actions: read, write, train, deploy, member, …; * for any.")
    resource: str = Field(description="Resource or pattern: kind:name, where * stands for any text.")
    expires_at: Timestamp | None = Field(default=None, description="From when on it holds no longer; null: never.")
    requested_by: str = Field(default="", description="Who asked for it.")
    approved_by: str = Field(default="", description="Who approved it.")
    reason: str = Field(default="", description="Why.")


class AccessDecided(Event):
    """Somebody wanted to do something, and it was allowed or denied."""

    subject: str = Field(description="Who wanted to.")
    action: str = Field(description="What they wanted to do.")
    resource: str = Field(description="With which resource, as kind:name.")
    decision: Literal["allow", "deny"] = Field(description="allow or deny.")
    grant_ids: list[str] = Field(default_factory=list, description="The grants that determined the decision.")
    policy_digest: str = Field(default="", description="Digest of all grants that were known (sha256:…).")
    purpose: str = Field(default="", description="What for.")
    outcome: str = Field(default="", description="What came of it: succeeded, failed, or empty where not known.")
    reason: str = Field(default="", description="Why it was decided so.")
