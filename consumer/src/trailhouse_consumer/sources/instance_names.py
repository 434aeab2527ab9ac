"""The name of a static member of a consumer group: that two collectors of one name do not fight for it.

By the protocol `classic` who joins last takes the name, and who had it is fenced; by `consumer` who comes second is
refused. A client is of no use after either, and one that joined anew at once would take the name back, and be fenced
again, for ever. So who was fenced or refused waits until the group has no member of that name: until its holder has
been silent for the session time-out. A process that starts does not wait: by `classic` it takes over at once from the
one that was killed. There the last one that was started has the name, by `consumer` the first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import structlog
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from trailhouse_consumer.errors import SourceUnavailableError
from trailhouse_consumer.sources.kafka_client import admin_settings, text

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["InstanceName"]

_ANSWER_SECONDS: Final = 10.0


class InstanceName:
    """The name that a source has in its group; without one nothing is ever in the way."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        """Take the settings of a consumer."""
        self._settings = dict(settings)
        self._name = str(settings.get("group.instance.id", ""))
        self._group = str(settings["group.id"])
        self._admin: Any = None
        #: This process has been a member, or was refused: somebody who has the name now may be another one.
        self._was_there = False
        #: The member id that the group knew it by last.
        self._own = ""
        #: Who has the name, while it is waited for; else empty.
        self.taken = ""
        self._log = structlog.get_logger("trailhouse.collector")

    @property
    def given(self) -> bool:
        """Whether there is one: the member is static."""
        return bool(self._name)

    def joined(self, consumer: Any) -> None:
        """The group has taken it in."""
        if self._name:
            self._own, self._was_there = consumer.memberid(), True

    def refused(self) -> None:
        """The client has given up: fenced, or refused."""
        self._own, self._was_there = "", True

    def expect_free(self) -> None:
        """Raise `SourceUnavailableError` while another member has the name; to be called before joining."""
        if not self._name or not self._was_there:
            return
        if host := self._holder():
            said = (
                f"Group {self._group} has another member named {self._name}, at {host}: give each collector a "
                "group_instance_id of its own; one that was killed is given up after the session time-out"
            )
            if not self.taken:
                self._log.error("not a member of the group until its name is free", reason=said)
            self.taken = said
            raise SourceUnavailableError(said)
        if self.taken:
            self._log.info("its name is free: joining the group", name=self._name)
        self.taken, self._admin = "", None

    def _holder(self) -> str:
        """Return where the member is that has the name, empty where there is none but this one."""
        self._admin = self._admin or AdminClient(admin_settings(self._settings))
        (future,) = self._admin.describe_consumer_groups([self._group], request_timeout=_ANSWER_SECONDS).values()
        try:
            group = future.result(_ANSWER_SECONDS)
        except KafkaException as error:
            if error.args[0].code() == KafkaError.GROUP_ID_NOT_FOUND:
                return ""
            raise SourceUnavailableError(f"Kafka does not tell who is in group {self._group}: {text(error)}") from error
        except TimeoutError as error:
            raise SourceUnavailableError(f"Kafka does not tell who is in group {self._group}") from error
        found = [member for member in group.members if member.group_instance_id == self._name]
        return next((member.host.lstrip("/") or "?" for member in found if member.member_id != self._own), "")
