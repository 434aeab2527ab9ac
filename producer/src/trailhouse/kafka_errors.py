"""Why Kafka does not answer: what its client says of the connection beside the call that failed.

The error of a call says that time was up. That a TLS handshake failed, or that a password is wrong, the client tells a
call-back of its own.
"""

from __future__ import annotations

from typing import Any

__all__ = ["LastSaid"]


class LastSaid:
    """The call-back `error_cb` of a Kafka client: remembers the last reason that says more than `down`."""

    def __init__(self) -> None:
        """Nothing has been said yet."""
        self.reason = ""

    def __call__(self, error: Any) -> None:
        """Take an error from the client."""
        from confluent_kafka import KafkaError  # noqa: PLC0415 - loaded with the client

        if error.code() != KafkaError._ALL_BROKERS_DOWN:  # noqa: SLF001 - its public name
            self.reason = error.str()

    def or_else(self, client: Any, error: BaseException) -> str:
        """Return what was said, once the client's call-backs were served, else what `error` (a KafkaException) says."""
        if client is not None:
            client.poll(0)
        return self.reason or str(error.args[0].str())
