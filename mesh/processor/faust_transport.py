"""How Faust reads for us: its transport over aiokafka, with the settings that it fixes otherwise.

Three things are not left to it. It waits 1.5 s for a fetch; the embedded broker does not wake a
waiting fetch, so that would be the latency there. Its bookkeeping of acknowledgements commits past
a record that was skipped at a rebalance, or acknowledged out of order: offsets are counted by the
keeper and committed here. And its streams take two asyncio tasks and a queue for each record, more
than judging it: what was fetched is handed over as it is.
"""

from __future__ import annotations

import asyncio
import itertools
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import aiokafka
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, Message
from faust.types.transports import ConsumerCallback, ConsumerT

from mesh.errors import UsageError
from mesh.processor.brokers import Brokers

SESSION_MS = 6_000
"""Kafka's least for a group of this kind, by the brokers' default: a killed worker is replaced."""
HEARTBEAT_MS = 1_000
REBALANCE_MS = 10_000
"""For the others to give their partitions up: twice what settling may take."""
POLL_INTERVAL_MS = 15_000
"""A worker that fetches no more for so long is out of the group, though its thread goes on."""
REQUEST_MS = 20_000
FETCH_WAIT_MS = 500
EMBEDDED_FETCH_WAIT_MS = 5
FETCH_RECORDS = 500
TURN = 100
"""Records after which the loop does something else: some five milliseconds."""
FETCH_BYTES = 4 * 1024 * 1024
"""Of one partition: sixteen of the largest events."""


class Thread(driver.AIOKafkaConsumerThread):
    """The consumer's thread."""

    def _create_worker_consumer(self, transport: driver.Transport) -> aiokafka.AIOKafkaConsumer:
        assert isinstance(transport, Transport)
        conf, brokers = self.app.conf, transport.brokers
        self._assignor = RoundRobinPartitionAssignor
        return aiokafka.AIOKafkaConsumer(
            client_id=conf.broker_client_id,
            group_id=conf.id,
            bootstrap_servers=brokers.addresses(),
            partition_assignment_strategy=[RoundRobinPartitionAssignor],
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            check_crcs=True,
            fetch_max_wait_ms=EMBEDDED_FETCH_WAIT_MS if brokers.embedded else FETCH_WAIT_MS,
            max_partition_fetch_bytes=FETCH_BYTES,
            max_poll_records=FETCH_RECORDS,
            max_poll_interval_ms=POLL_INTERVAL_MS,
            session_timeout_ms=SESSION_MS,
            heartbeat_interval_ms=HEARTBEAT_MS,
            rebalance_timeout_ms=REBALANCE_MS,
            request_timeout_ms=REQUEST_MS,
            **authentication(brokers),
        )


Receive = Callable[[aiokafka.ConsumerRecord], Awaitable[None]]


class Consumer(driver.Consumer):
    """Faust's consumer, which hands over what it fetches and commits what it is told."""

    receive: Receive

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, Message]]:
        """Fetch, and hand over record by record; yields nothing for the streams of Faust.

        Ends where the flow was stopped or the group has another generation: what is left belongs to
        somebody else, or is fetched again from the committed offset.
        """
        records, _ = await self._wait_next_records(timeout)
        generation = self.app.consumer_generation_id
        fetched = itertools.chain.from_iterable((records or {}).values())
        for number, record in enumerate(fetched):
            if number % TURN == 0:
                await asyncio.sleep(0)
            moved = generation != self.app.consumer_generation_id
            if moved or self.should_stop or not self.flow_active:
                return
            await self.receive(record)
        none: tuple[tuple[TP, Message], ...] = ()
        for one in none:
            yield one

    def _new_consumer_thread(self) -> Thread:
        return Thread(self, loop=self.loop, beacon=self.beacon)

    async def commit_offsets(self, offsets: Mapping[TP, int]) -> bool:
        """Commit these offsets; tell whether the group took them."""
        return bool(await self._commit(offsets))


class Transport(driver.Transport):
    """Makes such consumers."""

    Consumer = Consumer
    brokers: Brokers
    receive: Receive

    def create_consumer(self, callback: ConsumerCallback, **kwargs: Any) -> ConsumerT:
        """Return a consumer; `callback` would bring each record to the streams."""
        consumer = super().create_consumer(callback, **kwargs)
        assert isinstance(consumer, Consumer)
        consumer.receive = self.receive
        return consumer


def authentication(brokers: Brokers) -> dict[str, Any]:
    """Return aiokafka's arguments for the way in.

    Raises:
        UsageError: The certificates cannot be read.
    """
    arguments: dict[str, Any] = {"security_protocol": brokers.protocol}
    if brokers.protocol.endswith("SSL"):
        try:
            context = ssl.create_default_context(cafile=brokers.ca_location or None)
            if brokers.certificate_location:
                context.load_cert_chain(brokers.certificate_location, brokers.key_location)
        except (OSError, ssl.SSLError) as error:
            named = (brokers.ca_location, brokers.certificate_location, brokers.key_location)
            where = ", ".join(repr(one) for one in named if one)
            raise UsageError(f"certificates {where}: {error}") from error
        arguments["ssl_context"] = context
    if brokers.protocol.startswith("SASL"):
        arguments |= {
            "sasl_mechanism": brokers.mechanism or "PLAIN",
            "sasl_plain_username": brokers.username,
            "sasl_plain_password": brokers.password,
        }
    return arguments
