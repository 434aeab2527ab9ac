"""A broker that asks for a password over TLS: SASL_SSL with PLAIN, beside the plain listener that starting it needs."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from trailhouse_cli.servers.java import find_java
from trailhouse_cli.servers.kafka import JarKafka
from trailhouse_cli.servers.process import HOST, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["USER", "SaslKafka"]

USER = "trail"
_STORE = "store-password"


class SaslKafka:
    """One broker; raises `ServerMissingError` where Java lacks."""

    def __init__(self, directory: Path, password: str) -> None:
        """Start it; the certificate that clients are to trust is `ca`, a file in `directory`."""
        keytool = Path(find_java(17)).with_name("keytool")
        store, self.ca = directory / "store.p12", directory / "ca.pem"
        key = ("-alias", "broker", "-keystore", str(store), "-storetype", "PKCS12", "-storepass", _STORE)
        made = ("-keyalg", "RSA", "-dname", "CN=broker", "-ext", f"san=ip:{HOST}", "-validity", "2")
        for arguments in (("-genkeypair", *key, *made), ("-exportcert", "-rfc", *key, "-file", str(self.ca))):
            subprocess.run([str(keytool), *arguments], check=True, capture_output=True, timeout=60)
        plain, controller, locked = free_port(), free_port(), free_port()
        places = f"PLAINTEXT://{HOST}:{plain},LOCKED://{HOST}:{locked}"
        login = f'org.apache.kafka.common.security.plain.PlainLoginModule required user_{USER}="{password}";'
        self._broker = JarKafka(
            port=plain,
            properties={
                "controller.quorum.bootstrap.servers": f"{HOST}:{controller}",
                "listeners": f"{places},CONTROLLER://{HOST}:{controller}",
                "advertised.listeners": f"{places},CONTROLLER://{HOST}:{controller}",
                "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,LOCKED:SASL_SSL,CONTROLLER:PLAINTEXT",
                "sasl.enabled.mechanisms": "PLAIN",
                "listener.name.locked.plain.sasl.jaas.config": login,
                "ssl.keystore.location": str(store),
                "ssl.keystore.type": "PKCS12",
                "ssl.keystore.password": _STORE,
            },
        )
        #: Without a password.
        self.plain_servers = self._broker.bootstrap_servers
        self.bootstrap_servers = f"{HOST}:{locked}"

    def client(self) -> Iterator[tuple[str, str]]:
        """Yield what a client must be told that is no secret."""
        yield "security.protocol", "SASL_SSL"
        yield "sasl.mechanism", "PLAIN"
        yield "sasl.username", USER
        yield "ssl.ca.location", str(self.ca)

    def close(self) -> None:
        """Have done with it."""
        self._broker.close()
