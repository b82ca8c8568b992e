"""What a shell must provide, in the domain's verbs.

Two implementations of each stand in `mesh.transport`: memory and Kafka. Both pass the same
contract suite (`tests/contract`). Nothing here knows what a record means.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from mesh.errors import TransportError

Headers = tuple[tuple[str, bytes], ...]
"""A header without a value has an empty one."""
UNREADABLE = "\N{REPLACEMENT CHARACTER}"
"""The name of the one header that stands for headers of which a name is no UTF-8."""


class Place(NamedTuple):
    """One partition of one topic."""

    topic: str
    partition: int


class Incoming(NamedTuple):
    """One record as read; `append_ms` is the broker's append time in milliseconds since 1970."""

    topic: str
    partition: int
    offset: int
    append_ms: int
    key: bytes | None
    value: bytes | None
    headers: Headers


class Report(NamedTuple):
    """What became of an append. `error` is None when it is acknowledged and durable.

    With an error the outcome is unknown: the record may or may not be in the log.
    """

    topic: str
    partition: int
    offset: int
    append_ms: int
    error: str | None


class Commit(NamedTuple):
    """A consumer offset (the next to read) and the metadata kept with it (at most 3,900 bytes)."""

    offset: int
    metadata: str


@dataclass(frozen=True, kw_only=True)
class TopicPlan:
    """A topic as it should be. `config` holds Kafka's own names and string values."""

    name: str
    partitions: int
    config: Mapping[str, str] = field(default_factory=dict)


class GroupListener(Protocol):
    """Told about partitions of a consumer group, on the event loop, one call after the other.

    `take` yields no record of a partition before `assigned` returned, and none once `revoked` or
    `lost` was called: what was fetched and not taken is dropped, the next owner reads it again.
    While one of these runs the others wait, so start long work in a task of its own.
    """

    async def assigned(self, places: Mapping[Place, Commit | None]) -> None:
        """Take these partitions; each with what was last committed for it, None for nothing.

        Records follow from the committed offset, else from the beginning.
        """

    async def revoked(self, places: Sequence[Place]) -> None:
        """Give these up now. The group waits for the return, for a bounded time.

        What is committed before the return is committed before the next owner starts.
        """

    async def lost(self, places: Sequence[Place]) -> None:
        """These already belong to somebody else; a commit for them is dropped."""


class Reader(Protocol):
    """A bounded queue of records from partitions that were assigned by hand."""

    async def take(self, timeout_s: float | None = None) -> Sequence[Incoming]:
        """Return the next records (at least one, or none after `timeout_s`).

        Each partition in log order. One task at a time may take. Raises `TransportError` once the
        reader can never deliver again, so also after `close`.
        """

    async def caught_up(self) -> None:
        """Return when every record below the end offsets of the time of opening was dealt with.

        That is: handed out, and `take` called again, so whoever takes must go on taking. Judged by
        position, so transaction markers and compacted holes do not hang it. Raises what `take`
        raises.
        """

    async def close(self) -> None:
        """Stop. Records not taken are dropped."""


class GroupReader(Protocol):
    """A member of a consumer group."""

    async def take(self, timeout_s: float | None = None) -> Sequence[Incoming]:
        """Return the next records, like `Reader.take`."""

    def commit(self, commits: Mapping[Place, Commit]) -> None:
        """Commit without waiting; a failed commit is retried with the next one.

        Dropped for partitions that this member does not own.
        """

    def pause(self, places: Sequence[Place]) -> None:
        """Fetch no more from these until resumed; membership goes on.

        Nothing of them is handed out by `take` from now on; what was fetched is kept for `resume`.
        """

    def resume(self, places: Sequence[Place]) -> None:
        """Undo `pause`."""

    async def close(self) -> None:
        """Give up all partitions by `revoked`, commit what it committed, and leave the group."""


class Log(Protocol):
    """Appends to and reads from partitioned logs. All calls are made on one event loop."""

    async def open(self) -> None:
        """Connect. Raises `Unreachable` or `NotPermitted` with the address and what to try.

        Returns when appends can go out at once: the producer has its id.
        """

    async def close(self, timeout_s: float = 10.0) -> None:
        """Flush for at most `timeout_s`, then let go of threads and connections."""

    def append(
        self,
        place: Place,
        key: bytes | None,
        value: bytes | None,
        headers: Headers = (),
        report: Callable[[Report], None] | None = None,
    ) -> None:
        """Append without waiting; `partition` -1 lets the key decide (murmur2, like Java clients).

        Appends of one Log to one partition keep their order. `report` is called once, on the
        loop. There is no local time limit: while the broker is away the append waits and is
        retried. Raises `TransportError` when the bounded queue is full or the record is too large.
        """

    def pending(self) -> int:
        """Return how many appends have no report yet."""

    def failure(self) -> TransportError | None:
        """Return why nothing can be appended any more, None while it can.

        After a failure every pending append is reported with an error and `append` raises it: only
        a new `Log`, so a new incarnation, can go on.
        """

    async def flush(self, timeout_s: float) -> bool:
        """Wait until nothing is pending; False if `timeout_s` passed first."""

    async def tail(
        self,
        topic: str,
        start: Mapping[int, int | None],
        *,
        keep: Callable[[bytes | None], bool] | None = None,
        every_s: float = 0.0,
    ) -> Reader:
        """Read `start` (partition -> first offset, None for the end) and go on for ever.

        The end is that of the time of return: what is appended later is read. An offset that
        retention has passed means the first that is still there. `keep` drops records by key
        before they are queued; it runs on another thread. Once it has caught up, a reader may be
        told to look only `every_s`, where many small records are no reason to be woken for each.
        Raises `WrongTopic` where topic or partition is missing.
        """

    def scan(
        self,
        place: Place,
        first: int,
        end: int | None = None,
        *,
        keep: Callable[[bytes | None], bool] | None = None,
    ) -> AsyncGenerator[Sequence[Incoming], None]:
        """Yield batches of the records from `first` up to but not including `end`.

        `end` None stands for the end at the time of the call; one that is not there yet is waited
        for. Dropped records (by `keep`) still move the position. The last batch, possibly empty, is
        yielded when the end is reached. Who leaves early closes it (`contextlib.aclosing`).
        """
        ...

    async def join(self, topics: Sequence[str], group: str, listener: GroupListener) -> GroupReader:
        """Become a member of `group` (KIP-848), subscribed to `topics`.

        Raises `WrongTopic` where one is missing. The first assignment comes by `listener` alone.
        """

    async def ends(self, topic: str) -> Mapping[int, tuple[int, int]]:
        """Return low and high watermark for each partition; empty when there is no such topic."""

    async def named(self, prefix: str) -> Sequence[str]:
        """Return the topics whose names begin so, sorted: those that this client may know of."""

    async def committed(self, group: str, places: Sequence[Place]) -> Mapping[Place, Commit | None]:
        """Return what a group has committed, None for nothing, without being a member of it."""


class TopicAdmin(Protocol):
    """Creates and checks topics."""

    async def describe(self, names: Sequence[str]) -> Mapping[str, TopicPlan]:
        """Return those of `names` that exist, with all their settings.

        A broker that knows no settings tells none.
        """

    async def create(self, plans: Sequence[TopicPlan]) -> None:
        """Create topics; one that exists already is no error."""

    async def alter(self, name: str, config: Mapping[str, str]) -> None:
        """Set settings of an existing topic; others stay."""
