"""Mutual TLS on real Kafka: a certificate of the right authority lets in, nothing else does."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from mesh.transport.broker import BrokerSettings, BrokerStatus
from tests.e2e.conftest import Shell

pytestmark = [pytest.mark.broker, pytest.mark.slow, pytest.mark.timeout(240)]
TARGETS = ("office:desk", "office:ann", "office:bob")


class Authority:
    """Signs certificates, all in one folder."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder
        self.ca = folder / "ca.crt"
        self._openssl("req", "-x509", "-subj", "/CN=ca", "-out", self.ca, *self._key("ca"))

    def sign(self, name: str, extension: str) -> tuple[Path, Path]:
        """Return a certificate and its key."""
        request, made = self.folder / f"{name}.csr", self.folder / f"{name}.crt"
        self._openssl("req", "-subj", f"/CN={name}", "-out", request, *self._key(name))
        added = self.folder / f"{name}.ext"
        added.write_text(extension)
        signer = ("-CA", self.ca, "-CAkey", self.folder / "ca.key", "-CAcreateserial")
        self._openssl("x509", "-req", "-in", request, "-out", made, "-extfile", added, *signer)
        return made, self.folder / f"{name}.key"

    def _key(self, name: str) -> tuple[str | Path, ...]:
        return ("-newkey", "rsa:2048", "-nodes", "-keyout", self.folder / f"{name}.key")

    def _openssl(self, *words: str | Path) -> None:
        done = subprocess.run(["openssl", *words], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def test_a_mesh_with_certificates(
    shell: Shell, start_kafka: Callable[..., BrokerStatus], unique: str
) -> None:
    authority = Authority(shell.folder / "tls")
    server = shell.folder / "server.pem"
    parts = authority.sign("broker", "subjectAltName=IP:127.0.0.1")
    server.write_text("".join(part.read_text() for part in reversed(parts)))
    settings = {
        "listener.security.protocol.map": "CLIENT:SSL,INTERNAL:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "listener.name.client.ssl.client.auth": "required",
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(server),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(authority.ca),
    }
    kafka = start_kafka(BrokerSettings(extra=settings))

    shutil.copy(Path(__file__).with_name("office.py"), shell.folder)
    certificate, key = authority.sign("ann", "extendedKeyUsage=clientAuth")
    shell.environ |= {
        "MESH_BOOTSTRAP": kafka.bootstrap,
        "MESH_NAME": unique,
        "MESH_SECURITY_PROTOCOL": "SSL",
        "MESH_CA_LOCATION": str(authority.ca),
        "MESH_CERTIFICATE_LOCATION": str(certificate),
        "MESH_KEY_LOCATION": str(key),
        "MESH_HEALTH": "127.0.0.1:0",
        "OFFICE_LEDGER": str(shell.folder / "ledger"),
        "OFFICE_HOLD": str(shell.folder / "hold"),
    }
    applied = shell.run("topics", "apply", *TARGETS, "-q")
    assert applied.code == 0, applied.err
    agents, processor = shell.start("run", *TARGETS), shell.start("processor")
    for running in (agents, processor):
        assert "127.0.0.1:0" not in running.wait_for("health at ")  # a port of its own
    order = ("submit", "office.order", "--json", '{"item": "desk", "qty": 10}', "--wait")
    ran = shell.run(*order)
    assert ran.code == 0, ran.err

    stranger = Authority(shell.folder / "other").sign("eve", "extendedKeyUsage=clientAuth")
    for own in (stranger, ("", "")):
        shell.environ |= {
            "MESH_CERTIFICATE_LOCATION": str(own[0]),
            "MESH_KEY_LOCATION": str(own[1]),
        }
        refused = shell.run(*order, "--timeout", "4")
        assert refused.code in (3, 7), refused.err
    assert (agents.end(), processor.end()) == (0, 0)
