"""What only real Kafka, or only Kafka's clients, can be asked."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace

import pytest
from confluent_kafka import Consumer, TopicPartition

from mesh.errors import NotPermitted, TransportError, Unreachable
from mesh.ports import Commit, Place, Report, TopicPlan
from mesh.transport.broker import BrokerStatus
from mesh.transport.embedded import EmbeddedAdmin, EmbeddedBroker
from mesh.transport.kafka import KafkaLog
from mesh.transport.kafka_admin import KafkaAdmin
from mesh.transport.kafka_settings import READER_RECORDS_MAX, Limits, Security
from tests.contract.conftest import PREFIX, USER
from tests.contract.worlds import SOON_S, Owner, append_all, scan_all, take_many, until

PRODUCE = 0
OUT_OF_ORDER_SEQUENCE_NUMBER = 45


@asynccontextmanager
async def opened(log: KafkaLog) -> AsyncIterator[KafkaLog]:
    await log.open()
    try:
        yield log
    finally:
        await log.close(1.0)


async def create(bootstrap: str, name: str, partitions: int = 1, **config: str) -> str:
    plan = TopicPlan(name=name, partitions=partitions, config=config)
    await KafkaAdmin(bootstrap).create([plan])
    return name


# --- order


@pytest.mark.broker
async def test_order_holds_when_the_producers_epoch_is_bumped(kafka: str, unique: str) -> None:
    """The design rests on it. A batch that the broker refuses for good makes librdkafka drain what
    is under way, bump the epoch of its producer id and number the rest anew, for all partitions.
    """
    topic = await create(kafka, unique, 3, **{"max.message.bytes": "300000"})
    async with opened(KafkaLog(kafka)) as log:
        reports: dict[int, Report] = {}

        def append(number: int) -> None:
            def note(report: Report) -> None:
                assert number not in reports
                reports[number] = report

            log.append(Place(topic, number % 3), b"k", b"%d" % number, (), note)

        number = 0
        for wave in range(200):
            for _ in range(30):
                append(number)
                number += 1
            if wave % 40 == 20:
                log.append(Place(topic, wave % 3), b"large", bytes(400_000))
            await asyncio.sleep(0.001)
        assert await log.flush(SOON_S)
        assert log.producer_ids() > 1, "the epoch was never bumped: this test shows nothing"
        for last in range(number, number + 3):
            append(last)
        number += 3
        assert await log.flush(SOON_S)
        assert log.failure() is None
        assert len(reports) == number
        for partition in range(3):
            mine = [n for n in range(partition, number, 3) if reports[n].error is None]
            records = await scan_all(log, Place(topic, partition))
            assert [int(record.value or b"") for record in records] == mine
            assert [record.offset for record in records] == [reports[n].offset for n in mine]
        refused = [n for n, report in reports.items() if report.error]
        assert refused, "what was in a batch with a large one"
        assert max(refused) < number - 3, "and then it goes on"


@pytest.mark.broker
async def test_a_topic_just_created_loses_nothing(kafka: str, unique: str) -> None:
    """See `gathering`: with five batches under way it did, in one of six runs."""
    async with opened(KafkaLog(kafka)) as log:
        for run in range(15):
            topic = await create(kafka, f"{unique}.{run}", 3)
            reports: list[Report] = []
            for number in range(600):
                log.append(Place(topic, number % 3), None, b"%d" % number, (), reports.append)
                if number % 60 == 5:  # some leave while the first are still being retried
                    await asyncio.sleep(0.004)
            assert await log.flush(SOON_S)
            assert {report.error for report in reports} == {None}
            for partition in range(3):
                offsets = [r.offset for r in reports if r.partition == partition]
                assert offsets == list(range(200))
            assert {p: high for p, (_, high) in (await log.ends(topic)).items()} == {
                0: 200,
                1: 200,
                2: 200,
            }


async def test_a_producer_that_cannot_keep_its_promise_says_so(
    embedded_cluster: EmbeddedBroker, unique: str
) -> None:
    await EmbeddedAdmin(embedded_cluster).create([TopicPlan(name=unique, partitions=1)])
    place = Place(unique, 0)
    async with opened(KafkaLog(embedded_cluster.bootstrap, embedded=True)) as log:
        await append_all(log, [(place, None, b"")])
        embedded_cluster.push_errors(PRODUCE, [OUT_OF_ORDER_SEQUENCE_NUMBER])
        reports = await append_all(log, [(place, None, b"%d" % n) for n in range(10)])
        # What was under way behind it may have landed: this broker looks at no sequence numbers.
        assert len(reports) == 10
        assert any(report.error for report in reports)
        assert isinstance(log.failure(), TransportError)
        assert "is over" in str(log.failure())
        with pytest.raises(TransportError, match="is over"):
            log.append(place, None, b"")
        assert log.pending() == 0
    async with opened(KafkaLog(embedded_cluster.bootstrap, embedded=True)) as successor:
        [report] = await append_all(successor, [(place, None, b"")])
        assert report.error is None


# --- bounds


@pytest.mark.broker
@pytest.mark.parametrize("as_member", [False, True], ids=["tail", "member"])
async def test_a_reader_that_nobody_takes_from_is_bounded(
    kafka: str, unique: str, as_member: bool
) -> None:
    topic, count = await create(kafka, unique), 40_000
    async with opened(KafkaLog(kafka)) as log:
        for number in range(count):
            log.append(Place(topic, 0), b"%d" % number, b"")
            if number % 1_000 == 0:
                await asyncio.sleep(0)
        assert await log.flush(SOON_S)
        owner = Owner()
        if as_member:
            member = await log.join([topic], unique, owner)
            await owner.owns(1)
            room, reader = member._room, member
        else:
            tail = await log.tail(topic, {0: 0})
            room, reader = tail._room, tail  # type: ignore[assignment] # both can `take`
        await until(room.full)
        await asyncio.sleep(0.5)  # time enough to read all of it, were there no bound
        assert room._sent[0] <= READER_RECORDS_MAX + 500
        records = await take_many(reader, count)
        assert [int(record.key or b"") for record in records] == list(range(count))


# --- liveness


@contextmanager
def another_member(bootstrap: str, group: str, topic: str) -> Iterator[set[str]]:
    """A member that knows nothing of us, on a thread; tells when it was assigned partitions."""
    seen: set[str] = set()
    stop = threading.Event()

    def run() -> None:
        consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": group,
                "group.protocol": "consumer",
                "enable.auto.commit": False,
            }
        )

        def assigned(_: Consumer, partitions: list[TopicPartition]) -> None:
            seen.update(f"{p.topic}-{p.partition}" for p in partitions)

        consumer.subscribe([topic], on_assign=assigned)
        while not stop.is_set():
            consumer.poll(0.1)
        consumer.close()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield seen
    finally:
        stop.set()
        thread.join()


@pytest.mark.broker
async def test_each_of_two_members_has_its_part_of_each_topic(kafka: str, unique: str) -> None:
    """The broker's default would give each of them all partitions of one topic."""
    names = [await create(kafka, f"{unique}-{letter}", 4) for letter in "ab"]
    async with opened(KafkaLog(kafka)) as one, opened(KafkaLog(kafka)) as other:
        owners = Owner(), Owner()
        readers = [
            await log.join(names, unique, owner)
            for log, owner in zip((one, other), owners, strict=True)
        ]
        for owner in owners:
            await owner.owns(4)
            assert Counter(place.topic for place in owner.owned) == dict.fromkeys(names, 2)
        for reader in readers:
            await reader.close()


@pytest.mark.broker
async def test_a_blocked_loop_loses_its_partitions(kafka: str, unique: str) -> None:
    topic = await create(kafka, unique, 2)
    limits = Limits(stall_s=1.0, max_poll_interval_ms=120_000)  # so only the stall is noticed
    async with opened(KafkaLog(kafka, limits=limits)) as log:
        owner = Owner()
        reader = await log.join([topic], unique, owner)
        await owner.owns(2)
        reader.commit({Place(topic, 0): Commit(0, "mine")})
        with another_member(kafka, unique, topic) as seen:
            await owner.owns(1)
            [kept] = owner.owned
            blocked_at = time.monotonic()
            while len(seen) < 2 and time.monotonic() - blocked_at < SOON_S:
                time.sleep(0.05)  # noqa: ASYNC251 # this is the fault
            assert len(seen) == 2, "the blocked process kept its partition"
            reader.commit({kept: Commit(0, "too late")})
            await owner.owns(0)
            assert owner.history[-1] == ("lost", (kept,))
            await owner.owns(1)  # and it is a member again
        await owner.owns(2)
        metadata = {commit.metadata for commit in owner.owned.values() if commit}
        assert "too late" not in metadata


async def test_a_revocation_does_not_wait_for_ever(
    embedded_cluster: EmbeddedBroker, unique: str
) -> None:
    await EmbeddedAdmin(embedded_cluster).create([TopicPlan(name=unique, partitions=2)])
    limits = Limits(revoke_s=0.3)
    address = embedded_cluster.bootstrap
    async with (
        opened(KafkaLog(address, embedded=True, limits=limits)) as log,
        opened(KafkaLog(address, embedded=True)) as other,
    ):
        stuck, heir = Owner(), Owner()
        never = asyncio.Event()

        async def hang(_: object) -> None:
            await never.wait()

        stuck.giving_up = hang  # type: ignore[method-assign,assignment] # that is the fault
        reader = await log.join([unique], unique, stuck)
        await stuck.owns(2)
        await other.join([unique], unique, heir)
        await heir.owns(1)
        reader.commit({place: Commit(0, "too late") for place in heir.owned})
        never.set()
        await stuck.owns(1)
        await reader.close()
        await heir.owns(2)
        assert set(heir.owned.values()) == {None}


# --- permissions


@pytest.mark.broker
async def test_a_wrong_password(scram_broker: BrokerStatus) -> None:
    wrong = replace(USER, password="wrong")
    for writes in (True, False):
        log = KafkaLog(scram_broker.bootstrap, security=wrong, writes=writes)
        with pytest.raises(NotPermitted, match="check user, password"):
            await log.open()


@pytest.mark.broker
async def test_a_client_that_forgot_to_authenticate(scram_broker: BrokerStatus) -> None:
    limits = Limits(open_s=1.0)
    with pytest.raises((NotPermitted, Unreachable), match=scram_broker.bootstrap):
        await KafkaLog(scram_broker.bootstrap, limits=limits).open()


@pytest.mark.broker
async def test_what_is_not_granted_is_refused(scram_broker: BrokerStatus, unique: str) -> None:
    admin = KafkaAdmin(scram_broker.bootstrap, security=scram_broker.security)
    secret, open_topic = f"secret.{unique}", f"{PREFIX}{unique}"
    await admin.create([TopicPlan(name=name, partitions=1) for name in (secret, open_topic)])
    async with opened(KafkaLog(scram_broker.bootstrap, security=USER)) as log:
        [report] = await append_all(log, [(Place(secret, 0), None, b"")])
        assert report.error is not None
        assert "grant this user the topic" in report.error
        for name in (secret, f"secret.{unique}.missing"):
            with pytest.raises(NotPermitted, match="grant this user the topic"):
                await log.tail(name, {0: 0})
            with pytest.raises(NotPermitted, match="grant this user the topic"):
                await log.join([name], f"{PREFIX}g", Owner())
        reader = await log.join([open_topic], "another-group", Owner())
        async with asyncio.timeout(SOON_S):
            with pytest.raises(NotPermitted, match="grant this user the group"):
                await reader.take()
        [report] = await append_all(log, [(Place(open_topic, 0), None, b"")])
        assert report.error is None


@pytest.mark.broker
async def test_a_reader_without_any_right_to_write(scram_broker: BrokerStatus, unique: str) -> None:
    admin = KafkaAdmin(scram_broker.bootstrap, security=scram_broker.security)
    auditor = replace(USER, username=f"auditor-{unique}", password="not-a-secret-either")
    await admin.add_user(auditor.username, auditor.password)
    await admin.allow_read(auditor.username, topics=f"{PREFIX}{unique}")
    await admin.create([TopicPlan(name=f"{PREFIX}{unique}", partitions=1)])
    with pytest.raises(NotPermitted, match="grant this user a topic to write, or only read"):
        await KafkaLog(scram_broker.bootstrap, security=auditor).open()
    async with opened(KafkaLog(scram_broker.bootstrap, security=auditor, writes=False)) as log:
        assert await scan_all(log, Place(f"{PREFIX}{unique}", 0)) == []
        reader = await log.tail(f"{PREFIX}{unique}", {0: 0})
        assert await reader.take(0.3) == ()
        with pytest.raises(TransportError, match="reading only"):
            log.append(Place(f"{PREFIX}{unique}", 0), None, b"")


@pytest.mark.broker
async def test_the_administrator_is_told_why(scram_broker: BrokerStatus, unique: str) -> None:
    plan = TopicPlan(name=f"secret.{unique}", partitions=1)
    with pytest.raises(NotPermitted, match=f"create topic secret.{unique}"):
        await KafkaAdmin(scram_broker.bootstrap, security=USER).create([plan])
    wrong = Security(**{**USER.__dict__, "password": "wrong"})
    with pytest.raises(NotPermitted, match="check user, password"):
        await KafkaAdmin(scram_broker.bootstrap, security=wrong).create([plan])
