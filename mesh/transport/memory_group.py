"""Consumer groups of the memory broker: cooperative, sticky, deterministic.

A partition is given up by its owner before the next one gets it. Only what has to move moves. A
member that is cut off keeps what it believes to own until its session is ended by `expire`; then
others get it at once, and the member hears `lost` when it is connected again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial

from mesh.ports import Commit, GroupListener, Incoming, Place
from mesh.transport.group_inbox import GroupEvent, GroupInbox
from mesh.transport.inbox import Batch
from mesh.transport.memory_reader import Feed
from mesh.transport.memory_store import Partition

Find = Callable[[Place], Partition]


class Group:
    """Members, owners, committed offsets."""

    def __init__(self, places: Callable[[str], Sequence[Place]], revoke_s: float) -> None:
        """Make an empty one; `places` lists the partitions of a topic."""
        self._places = places
        self._revoke_s = revoke_s
        self._members: list[MemoryMember] = []
        self._owners: dict[Place, MemoryMember] = {}
        self._leaving: dict[Place, GroupEvent] = {}
        self._pins: dict[Place, MemoryMember] = {}
        self._due: asyncio.Handle | None = None
        self.committed: dict[Place, Commit] = {}

    def join(self, member: MemoryMember) -> None:
        """Add a member; it hears of its partitions later."""
        self._members.append(member)
        self.rebalance()

    def leave(self, member: MemoryMember) -> None:
        """Take a member out; its partitions are revoked if it still has some."""
        self._members.remove(member)
        self._pins = {place: to for place, to in self._pins.items() if to is not member}
        self.rebalance()

    def members(self) -> Sequence[MemoryMember]:
        """Return the members in the order in which they joined."""
        return tuple(self._members)

    def owned(self, member: MemoryMember) -> set[Place]:
        """Return what a member owns, as the broker sees it."""
        return {place for place, owner in self._owners.items() if owner is member}

    def commit(self, member: MemoryMember, commits: Mapping[Place, Commit]) -> None:
        """Keep what the member may commit; drop the rest."""
        for place, commit in commits.items():
            if self._owners.get(place) is member:
                self.committed[place] = commit

    def move(self, places: Iterable[Place], to: MemoryMember) -> None:
        """Assign partitions to a certain member from now on."""
        self._pins.update(dict.fromkeys(places, to))
        self.rebalance()

    def take_away(self, member: MemoryMember, places: Collection[Place]) -> None:
        """Let partitions have no owner, without asking the one they had."""
        for place in places:
            if self._owners.get(place) is member:
                del self._owners[place]
                self._leaving.pop(place, None)
        self.rebalance()

    def rebalance(self) -> None:
        """Assign anew soon."""
        if self._due is None:
            self._due = asyncio.get_running_loop().call_soon(self._rebalance)

    def _rebalance(self) -> None:
        self._due = None
        target = self._target()
        for owner in dict.fromkeys(self._owners.values()):
            stays = {place for place, member in target.items() if member is owner}
            goes = sorted(self.owned(owner) - stays - self._leaving.keys())
            if goes:
                self._revoke(owner, goes)
        for member in self._members:
            gains = [
                place for place, to in target.items() if to is member and place not in self._owners
            ]
            if gains:
                self._owners.update(dict.fromkeys(gains, member))
                member.assign({place: self.committed.get(place) for place in gains})

    def _revoke(self, member: MemoryMember, places: list[Place]) -> None:
        event = GroupEvent(
            kind="revoked",
            places=dict.fromkeys(places),
            done=partial(self.take_away, member, places),
        )
        self._leaving.update(dict.fromkeys(places, event))
        loop = asyncio.get_running_loop()
        loop.call_later(self._revoke_s, self._stop_waiting, member, event)
        member.revoke(event)

    def _stop_waiting(self, member: MemoryMember, event: GroupEvent) -> None:
        if any(self._leaving.get(place) is event for place in event.places):
            event.expired = True
            member.release(event.places)
            self.take_away(member, list(event.places))

    def _target(self) -> dict[Place, MemoryMember]:
        """Return who should own what: balanced by topic, moving as little as possible."""
        members = [member for member in self._members if member.alive and not member.expired]
        topics = sorted({topic for member in members for topic in member.topics})
        target: dict[Place, MemoryMember] = {}
        for topic in topics:
            eligible = [member for member in members if topic in member.topics]
            target |= self._shares(self._places(topic), eligible)
        pinned = {place: to for place, to in self._pins.items() if to in members}
        return target | {place: to for place, to in pinned.items() if place in target}

    def _shares(
        self, places: Sequence[Place], eligible: Sequence[MemoryMember]
    ) -> dict[Place, MemoryMember]:
        least, extra = divmod(len(places), len(eligible))
        counts = dict.fromkeys(eligible, 0)
        shares: dict[Place, MemoryMember] = {}
        for place in places:
            owner = self._owners.get(place)
            if owner is None or owner not in counts:
                continue
            if counts[owner] < least or (counts[owner] == least and extra > 0):
                extra -= counts[owner] == least
                counts[owner] += 1
                shares[place] = owner
        for place in places:
            if place not in shares:
                owner = min(eligible, key=counts.__getitem__)
                counts[owner] += 1
                shares[place] = owner
        return shares


class MemoryMember:
    """A `mesh.ports.GroupReader`."""

    def __init__(
        self,
        group: Group,
        topics: Sequence[str],
        listener: GroupListener,
        find: Find,
        reachable: Callable[[], bool],
    ) -> None:
        self.topics = tuple(topics)
        self.alive = True
        self.expired = False
        self._group = group
        self._find = find
        self._reachable = reachable
        self._feed = Feed(self._hand, reachable)
        self._inbox = GroupInbox(self._feed.freed, listener)
        self._held: set[Place] = set()
        self._unheard: list[GroupEvent] = []
        self._unsent: dict[Place, Commit] = {}
        self._empty = asyncio.Event()

    # --- the port

    async def take(self, timeout_s: float | None = None) -> Sequence[Incoming]:
        """Return the next records; see `mesh.ports.GroupReader.take`."""
        return await self._inbox.take(timeout_s)

    def commit(self, commits: Mapping[Place, Commit]) -> None:
        """Commit without waiting; see `mesh.ports.GroupReader.commit`."""
        mine = self._inbox.owned(commits)
        self._unsent.update({place: commits[place] for place in mine})
        self._send_commits()

    def pause(self, places: Sequence[Place]) -> None:
        """Fetch no more from these until resumed."""
        self._inbox.pause(places)
        self._feed.pause(self._inbox.paused())

    def resume(self, places: Sequence[Place]) -> None:
        """Undo `pause`."""
        self._inbox.resume(places)
        self._feed.pause(self._inbox.paused())

    async def close(self) -> None:
        """Give up all partitions and leave the group."""
        if self.alive:
            self.alive = False
            self._group.rebalance()
            if not self._reachable():
                self.expire()
            while self._held:
                self._empty.clear()
                await self._empty.wait()
            self._group.leave(self)
        self._feed.stop()
        self._inbox.close()

    # --- for the group and the broker

    def assign(self, places: Mapping[Place, Commit | None]) -> None:
        """Tell of new partitions and read them."""
        self._held.update(places)
        self._tell(GroupEvent(kind="assigned", places=places, done=_nothing))
        for place, committed in places.items():
            partition = self._find(place)
            self._feed.add(partition, partition.low if committed is None else committed.offset)

    def revoke(self, event: GroupEvent) -> None:
        """Ask for partitions back."""
        given_up = event.done

        def done() -> None:
            self.release(event.places)
            given_up()

        event.done = done
        self._tell(event)

    def lose(self, places: Collection[Place]) -> None:
        """Take partitions away without asking."""
        gone = self._held.intersection(places)
        if gone:
            self._group.take_away(self, gone)
            ordered = dict.fromkeys(sorted(gone))
            release = partial(self.release, ordered)
            self._tell(GroupEvent(kind="lost", places=ordered, done=release))

    def expire(self) -> None:
        """End the session of this member; it hears of it when it is connected again."""
        self._unheard.clear()
        self.expired = not self._reachable()
        self.lose(self._held)

    def heal(self) -> None:
        """Hear what was said while the connection was cut."""
        self.expired = False
        unheard, self._unheard = self._unheard, []
        for event in unheard:
            self._tell(event)
        self._send_commits()
        self._feed.wake()
        self._group.rebalance()

    def _tell(self, event: GroupEvent) -> None:
        if not self._reachable() and self.alive:
            self._unheard.append(event)
            return
        if event.kind != "assigned":
            for place in event.places:
                self._feed.remove(self._find(place))
        self._inbox.push(event)

    def release(self, places: Iterable[Place]) -> None:
        """Note that partitions are given up, or believed to be."""
        self._held.difference_update(places)
        if not self._held:
            self._empty.set()

    def _send_commits(self) -> None:
        if self._unsent and self._reachable():
            commits, self._unsent = self._unsent, {}
            self._group.commit(self, commits)

    def _hand(self, batch: Batch) -> None:
        self._inbox.push(batch)


def _nothing() -> None:
    """Nobody waits for this event."""
