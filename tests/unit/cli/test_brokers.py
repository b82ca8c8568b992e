from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from mesh.cli.brokers import EMBEDDED, KAFKA, broker, broker_folder, settings_for
from mesh.cli.output import Out
from mesh.config import Config
from mesh.transport.broker import BrokerStatus
from mesh.transport.kafka_settings import Security

OUT = Out(quiet=True)


def test_the_embedded_broker_lasts_as_long_as_the_command() -> None:
    async def use() -> Path:
        async with broker(EMBEDDED, Config(partitions={"audit": 3}), OUT) as ready:
            assert ready.config.embedded
            assert ready.config.bootstrap.startswith("127.0.0.1:")
            assert "nothing after exit" in ready.words
            assert ready.config.artifacts.is_dir()
            assert (ready.config.counts().tasks, ready.config.counts().audit) == (8, 3)
            return ready.config.artifacts

    assert not asyncio.run(use()).exists()


async def test_somebodys_broker_is_taken_as_it_is() -> None:
    async with broker("kafka-1:9092", Config(embedded=True), OUT) as ready:
        assert (ready.config.bootstrap, ready.config.embedded) == ("kafka-1:9092", False)
        assert ready.words == "Kafka at kafka-1:9092"


@pytest.mark.parametrize("before", [True, False])
async def test_what_was_started_here_is_stopped_again(
    monkeypatch: pytest.MonkeyPatch, *, before: bool
) -> None:
    told: list[str] = []
    status = BrokerStatus(
        directory=Path("x"),
        pid=7 if before else None,
        bootstrap="127.0.0.1:5",
        internal="127.0.0.1:6",
        security=Security(protocol="SASL_PLAINTEXT", mechanism="SCRAM-SHA-256", password="pw"),
        origin="jars",
    )
    monkeypatch.setattr("mesh.bootstrap.broker_status", lambda folder: status)
    monkeypatch.setattr("mesh.bootstrap.start_broker", lambda folder, progress: status)
    monkeypatch.setattr("mesh.bootstrap.administer", lambda config: "admin")
    monkeypatch.setattr(
        "mesh.bootstrap.stop_broker", lambda folder, progress: told.append("stopped")
    )
    async with broker(KAFKA, Config(), OUT) as ready:
        assert ready.words == "127.0.0.1:5, Apache Kafka from jars"
        assert ready.config.security.password.get_secret_value() == "pw"
    assert told == ([] if before else ["stopped"])
    assert settings_for(status)["bootstrap"] == "127.0.0.1:5"
    assert broker_folder().name == "broker"
