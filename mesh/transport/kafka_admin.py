"""Topics, users and grants of a real broker, by its admin API.

The calls of confluent-kafka's `AdminClient` return futures that are awaited on a thread; none of
this is in the path of work. The embedded broker has no admin API: see `embedded.EmbeddedAdmin`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Any, TypeVar

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import (  # type: ignore[attr-defined] # its hints forget to export
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from mesh.errors import TransportError
from mesh.ports import TopicPlan
from mesh.transport.kafka_errors import (
    NOT_PERMITTED,
    UNREACHABLE,
    ClientLog,
    error_in,
    translate,
    translate_raised,
)
from mesh.transport.kafka_settings import Address, Security

Answer = TypeVar("Answer")

LOOK_S = 0.005  # between looks at whether an answer has come
REQUEST_S = 10.0  # for one request, retries within
SCRAM_ITERATIONS = 8192  # Kafka's own default is 4096, its minimum
BROKER_DEFAULT = -1  # replicas as the broker's settings have it


class KafkaAdmin:
    """A `mesh.ports.TopicAdmin`, and what else an administrator does."""

    def __init__(
        self,
        bootstrap: str,
        *,
        client_id: str = "mesh",
        security: Security | None = None,
        request_s: float = REQUEST_S,
    ) -> None:
        self._address = Address(
            bootstrap=bootstrap, client_id=client_id, security=security or Security()
        )
        self._request_s = request_s
        self._last_error: KafkaError | None = None
        config = self._address.base() | {"error_cb": self._complain}
        del config["allow.auto.create.topics"]  # a consumer's property
        self._client = AdminClient(
            config,  # type: ignore[arg-type] # its hints forget that callbacks are settings
            logger=ClientLog(),
        )

    async def describe(self, names: Sequence[str]) -> Mapping[str, TopicPlan]:
        """Return those of `names` that exist, with all their settings."""
        return await self._ask("describe topics", partial(self._describe, names))

    async def create(self, plans: Sequence[TopicPlan]) -> None:
        """Create topics; one that exists already is no error."""
        for plan in plans:
            await self._ask(f"create topic {plan.name}", partial(self._create, plan))

    async def alter(self, name: str, config: Mapping[str, str]) -> None:
        """Set settings of an existing topic; others stay."""
        await self._ask(f"alter topic {name}", partial(self._alter, name, config))

    async def add_user(self, name: str, password: str) -> None:
        """Add a SCRAM user, or change the password of one; it holds at once."""
        scram = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_256, SCRAM_ITERATIONS)
        user = UserScramCredentialUpsertion(name, scram, password.encode())
        await self._ask(
            f"add user {name}",
            lambda: self._all(self._client.alter_user_scram_credentials([user]).values()),
        )

    async def allow_read(self, user: str, *, topics: str = "", group: str = "") -> None:
        """Let a user read the topics, or be in the groups, whose names begin so."""
        grants = [
            _grant(user, kind, prefix, operation)
            for kind, prefix in ((ResourceType.TOPIC, topics), (ResourceType.GROUP, group))
            for operation in (AclOperation.READ, AclOperation.DESCRIBE)
            if prefix
        ]
        await self._allow(user, grants)

    async def allow_write(self, user: str, *, topics: str) -> None:
        """Let a user append to the topics whose names begin so."""
        operations = (AclOperation.WRITE, AclOperation.DESCRIBE)
        await self._allow(
            user, [_grant(user, ResourceType.TOPIC, topics, operation) for operation in operations]
        )

    async def _allow(self, user: str, grants: list[AclBinding]) -> None:
        await self._ask(
            f"grant to {user}", lambda: self._all(self._client.create_acls(grants).values())
        )

    async def _ask(self, doing: str, question: Callable[[], Answer]) -> Answer:
        try:
            return await asyncio.get_running_loop().run_in_executor(None, question)
        except KafkaException as raised:
            raise self._verdict(raised, f"{doing} at {self._address.bootstrap}") from raised

    def _verdict(self, raised: KafkaException, doing: str) -> TransportError:
        error = error_in(raised)
        cause = self._last_error
        if error is not None and error.name() in UNREACHABLE and cause is not None:
            return translate(cause, doing=doing)
        return translate_raised(raised, doing=doing)

    def _complain(self, error: KafkaError) -> None:
        if error.name() != "_ALL_BROKERS_DOWN":  # it follows an error that says more
            self._last_error = error

    # --- on a thread

    def _all(self, futures: Iterable[Future[Any]]) -> None:
        for future in futures:
            self._wait(future)

    def _wait(self, future: Future[Any]) -> Any:
        """Wait for an answer, or for a refusal of the connection, which no answer would tell."""
        while not future.done():
            self._client.poll(LOOK_S)
            if self._last_error is not None and self._last_error.name() in NOT_PERMITTED:
                raise KafkaException(self._last_error)
        return future.result()

    def _describe(self, names: Sequence[str]) -> Mapping[str, TopicPlan]:
        if not names:
            return {}
        asked = self._client.describe_topics(
            TopicCollection(list(names)), request_timeout=self._request_s
        )
        partitions = {}
        for name, future in asked.items():
            try:
                partitions[name] = len(self._wait(future).partitions)
            except KafkaException as raised:
                error = error_in(raised)
                if error is None or error.name() != "UNKNOWN_TOPIC_OR_PART":
                    raise
        if not partitions:
            return {}
        resources = [ConfigResource(ConfigResource.Type.TOPIC, name) for name in partitions]
        described = self._client.describe_configs(resources, request_timeout=self._request_s)
        return {
            resource.name: TopicPlan(
                name=resource.name,
                partitions=partitions[resource.name],
                config={
                    name: entry.value
                    for name, entry in self._wait(future).items()
                    if entry.value is not None
                },
            )
            for resource, future in described.items()
        }

    def _create(self, plan: TopicPlan) -> None:
        topic = NewTopic(plan.name, plan.partitions, BROKER_DEFAULT, config=dict(plan.config))
        try:
            self._all(self._client.create_topics([topic], request_timeout=self._request_s).values())
        except KafkaException as raised:
            error = error_in(raised)
            if error is None or error.name() != "TOPIC_ALREADY_EXISTS":
                raise

    def _alter(self, name: str, config: Mapping[str, str]) -> None:
        entries = [
            ConfigEntry(setting, value, incremental_operation=AlterConfigOpType.SET)
            for setting, value in config.items()
        ]
        resource = ConfigResource(ConfigResource.Type.TOPIC, name, incremental_configs=entries)
        asked = self._client.incremental_alter_configs([resource], request_timeout=self._request_s)
        self._all(asked.values())


def _grant(user: str, kind: ResourceType, prefix: str, operation: AclOperation) -> AclBinding:
    return AclBinding(
        kind,
        prefix,
        ResourcePatternType.PREFIXED,
        f"User:{user}",
        "*",
        operation,
        AclPermissionType.ALLOW,
    )
