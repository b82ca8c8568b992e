"""Where the brokers are, and as whom to speak to them: what Faust's client must be told."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Brokers:
    """The brokers; the defaults of the rest are brokers without any authentication."""

    bootstrap: str
    embedded: bool = False
    protocol: str = "PLAINTEXT"
    mechanism: str = ""
    username: str = ""
    password: str = field(default="", repr=False)
    ca_location: str = ""
    certificate_location: str = ""
    key_location: str = ""

    def addresses(self) -> list[str]:
        """Return `host:port` of each, as aiokafka wants them."""
        parts = [part.strip().rpartition("://")[2] for part in self.bootstrap.split(",")]
        return [part if part.rpartition(":")[1] else f"{part}:9092" for part in parts]
