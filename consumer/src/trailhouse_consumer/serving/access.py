"""Who a client is: it shows one of the directory's two tokens, in any of the ways in which ClickHouse takes a password.

The user's name decides nothing. What is refused looks the same whether the token is wrong or not there.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from trailhouse_consumer.serving.refusals import Refused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trailhouse_schemas.warehouse.served import Tokens

__all__ = ["Access"]

#: Names that a browser has for this machine, without a port: a page of another name must not reach it (DNS rebinding).
_LOCAL_NAMES: Final = frozenset({"localhost", "127.0.0.1", "[::1]", ""})


class Access:
    """Decides who may what."""

    def __init__(self, tokens: Tokens, *, local: bool) -> None:
        """Take the tokens, and whether only this machine is served."""
        self._write = tokens.write.encode()
        self._read = tokens.read.encode()
        self._local = local

    def check_host(self, host: str) -> None:
        """Raise `Refused` for a request that was made to another name than this machine's."""
        name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
        if self._local and name.lower() not in _LOCAL_NAMES:
            raise Refused(
                497, "ACCESS_DENIED", f"Host {host[:100]!r} is not this machine; ask for 127.0.0.1 or localhost"
            )

    def is_read_only(self, headers: Mapping[str, str], asked: Mapping[str, str]) -> bool:
        """Return whether the client may only read; raises `Refused` when it may nothing.

        Args:
            headers: The request's headers.
            asked: The parameters of its address.
        """
        user, token = _shown(headers, asked)
        shown = token.encode()
        # Both are compared, always, so that the time says nothing.
        writes = hmac.compare_digest(shown, self._write)
        reads = hmac.compare_digest(shown, self._read)
        if writes:
            return False
        if reads:
            return True
        raise Refused(
            516,
            "AUTHENTICATION_FAILED",
            f"{user or 'default'}: Authentication failed: password is incorrect, or there is no user with such name; "
            "the password is a token of tokens.json in the warehouse's directory",
            status=HTTPStatus.FORBIDDEN if token else HTTPStatus.UNAUTHORIZED,
        )


def _shown(headers: Mapping[str, str], asked: Mapping[str, str]) -> tuple[str, str]:
    """Return the user and the token that a request shows."""
    if key := headers.get("x-clickhouse-key"):
        return headers.get("x-clickhouse-user", ""), key
    scheme, _, value = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return "", value.strip()
    if scheme.lower() == "basic":
        try:
            user, _, password = base64.b64decode(value.strip(), validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return "", ""
        return user, password
    return asked.get("user", ""), asked.get("password", "")
