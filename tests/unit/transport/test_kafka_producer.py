from __future__ import annotations

import asyncio
from collections.abc import Sequence

from mesh.ports import Place, Report
from mesh.transport.embedded import EmbeddedBroker
from mesh.transport.kafka_producer import UNPLACED, KafkaProducer
from mesh.transport.kafka_settings import Address

PRODUCE = 0
DUPLICATE_SEQUENCE_NUMBER = 46
RECORD_LIST_TOO_LARGE = 18


async def no_lookup(topic: str) -> Sequence[int]:
    raise AssertionError(topic)


async def appended(producer: KafkaProducer, topic: str, count: int) -> list[Report]:
    reports: list[Report] = []
    for number in range(count):
        producer.append(Place(topic, 0), None, b"%d" % number, (), reports.append)
    assert await producer.flush(10)
    return reports


async def test_an_acknowledgement_without_a_place_is_none(
    cluster: EmbeddedBroker, address: Address, topic: str
) -> None:
    """librdkafka calls it success when a broker says that it had the record already."""
    producer = KafkaProducer(address, no_lookup)
    await producer.open(5)
    cluster.push_errors(PRODUCE, [DUPLICATE_SEQUENCE_NUMBER])
    [report] = await appended(producer, topic, 1)
    assert report.error is not None
    assert UNPLACED in report.error
    assert report.offset == -1
    await producer.close(1)


async def test_what_a_broker_refuses_is_reported_and_the_rest_goes_on(
    cluster: EmbeddedBroker, address: Address, topic: str
) -> None:
    producer = KafkaProducer(address, no_lookup)
    await producer.open(5)
    cluster.push_errors(PRODUCE, [RECORD_LIST_TOO_LARGE])
    reports = await appended(producer, topic, 3)
    assert [report.error is None for report in reports] == [False, True, True]
    assert producer.producer_ids() == 2, "a gap in the sequence bumps the epoch"
    assert producer.failure() is None
    await producer.close(1)


async def test_what_librdkafka_itself_refuses_is_reported(address: Address, topic: str) -> None:
    producer = KafkaProducer(address, no_lookup)
    await producer.open(5)
    await appended(producer, topic, 1)
    reports: list[Report] = []
    producer.append(Place(topic, 17), None, b"", (), reports.append)
    assert await producer.flush(10)
    [report] = reports
    assert report.error is not None
    assert "mesh topics plan" in report.error
    assert report.partition == 17
    await producer.close(1)


async def test_closing_reports_everything(
    cluster: EmbeddedBroker, address: Address, topic: str
) -> None:
    producer = KafkaProducer(address, no_lookup)
    await producer.open(5)
    await appended(producer, topic, 1)
    cluster.set_down()
    reports: list[Report] = []
    for _ in range(50):
        producer.append(Place(topic, 0), None, b"", (), reports.append)
        producer.append(Place(topic, 1), None, b"", (), reports.append)
    await asyncio.sleep(0)
    await producer.close(0.01)
    cluster.set_up()
    assert len(reports) == 100
    assert all(report.error for report in reports)
    assert producer.pending() == 0
