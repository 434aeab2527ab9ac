"""Secrets of the settings: read from files, and never shown.

A secret in the environment is inherited by every process that is started; one in a file can be given to one user, and
changed by who runs the machine. A file that others may read is warned about and read all the same: Docker and
Kubernetes mount secrets so, in a container that nobody else is in, and whoever is refused there takes the environment.
"""

from __future__ import annotations

import json
import logging
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BeforeValidator, SecretStr

__all__ = ["SecretFile", "json_secret", "open_to_others", "read_secret", "shown", "without_password", "without_secrets"]

_SECRET: Final = re.compile("password|secret|key|jaas|token|oauthbearer.config|user.info", re.IGNORECASE)
_PASSWORD: Final = re.compile(r"(?<=://)([^/@:]*):[^/]*@")
_MOST_BYTES: Final = 1 << 20
_warned: Final[set[Path]] = set()


def read_secret(path: Path) -> str:
    """Return what is in a file of a secret, without the newline at its end; raises `ValueError`, which says no more."""
    try:
        if not path.is_file():
            raise ValueError("it is no file" if path.exists() else "it is not there; make it, or name another")
        if path.stat().st_size > _MOST_BYTES:
            raise ValueError(f"it has more than {_MOST_BYTES >> 20} MiB; name the file of the secret")
        secret = path.read_text("utf-8").removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise ValueError("it is no text in UTF-8; name the file of the secret") from None
    except OSError as error:
        raise ValueError(f"it cannot be read ({error.strerror}); give this user the right to") from None
    if not secret:
        raise ValueError("it is empty; write the secret into it")
    return secret


def json_secret(path: Path) -> dict[str, str]:
    """Return settings of a Kafka client out of a file of JSON; raises `ValueError`, which shows none of them."""
    try:
        found = json.loads(read_secret(path))
    except json.JSONDecodeError as error:
        raise ValueError(f"it is no JSON (line {error.lineno}, column {error.colno})") from None
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise ValueError('it is no map of texts; write it like {"sasl.username": "me", "sasl.password": "…"}')
    return found


def open_to_others(path: Path) -> bool:
    """Return whether users may read a file who neither own it nor are of its group."""
    try:
        return bool(path.stat().st_mode & stat.S_IROTH)
    except OSError:
        return False


def _none_if_empty(value: object) -> object:
    return None if value == "" else value


def _checked(path: Path | None) -> Path | None:
    if path is None:
        return None
    path = path.expanduser().absolute()
    read_secret(path)
    if open_to_others(path) and path not in _warned:
        _warned.add(path)
        logging.getLogger("trailhouse").warning(
            "trailhouse: everybody on this machine may read the secret in %s; take that right away (chmod o-r)", path
        )
    return path


#: A file that a secret is read from; made absolute, and refused unless it can be read.
SecretFile = Annotated[Path | None, BeforeValidator(_none_if_empty), AfterValidator(_checked)]


def without_password(url: str) -> str:
    """Return a URL as it may be shown: `http://user:***@host`."""
    return _PASSWORD.sub(r"\1:***@", url)


def without_secrets(settings: Mapping[str, str]) -> str:
    """Return settings of a Kafka client as they may be shown: `sasl.username=me, sasl.password=***`."""
    return ", ".join(f"{name}={'***' if _SECRET.search(name) else value}" for name, value in settings.items())


def shown(value: Any) -> str:
    """Return the value of a setting as it may be shown."""
    if isinstance(value, SecretStr):
        return "(set, not shown)" if value.get_secret_value() else ""
    if isinstance(value, Mapping):
        return without_secrets(value)
    return "" if value is None else without_password(str(value))
