"""What the watchman does about a finding: it tells, asks or halts, in order, and never twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from mesh.core.halts import HaltOrder, Halts
from mesh.ports import Place
from mesh.processor.watchman import Watchman
from mesh.transport.memory import Fate
from mesh.wire.entries import PolicyDocument, decode_halt, encode_entry
from mesh.wire.policies import NAME
from tests.unit.processor.quarrel import PARTITION, Recorded, fact, incidents, record
from tests.unit.processor.test_watchman import CONTROL, INCIDENTS, LAX, POLICY, Site, settle

WARNS = "[incidents]\nloop = 'warn'\nping-pong = 'warn'\ndepth = 'warn'\nno-progress = 'warn'"


class Scene(Site):
    """Mutable: a quarrel that is watched fact by fact; `loop` is the offset that shows the loop."""

    def __init__(self, recorded: Recorded, loop: int) -> None:
        super().__init__(recorded)
        self.loop = loop

    @property
    def target(self) -> str:
        return f"workflow/{self.recorded.endless}"

    def orders(self) -> list[HaltOrder]:
        return [decode_halt(own.value) for own in self.broker.records(CONTROL)]

    def policy(self, version: int, text: str = "") -> None:
        document = PolicyDocument(NAME, version, f"version = {version}\n{text}", "eve", "so")
        place = Place(POLICY, 0)
        self.broker.partition(place).append(1, NAME.encode(), encode_entry(document), ())

    def person(self, *, halted: bool, through: int = -1) -> HaltOrder:
        """Let a person order something, for what stands there."""
        seen = Halts()
        for own in self.orders():
            seen.see(own)
        order = seen.next_order(
            self.target, halted=halted, because="so", person="eve", through=through
        )
        place = Place(CONTROL, 0)
        self.broker.partition(place).append(1, order.target.encode(), encode_entry(order), ())
        return order

    async def watch(self, watchman: Watchman, first: int, end: int) -> None:
        """Let it see records one by one, each when all that the one before led to is done."""
        self.write(end)
        for own in self.broker.records(self.audit)[first:end]:
            await watchman.see(own)
            await settle()

    async def begin(self, first: int = 0) -> Watchman:
        watchman = await self.watchman()
        await watchman.take(PARTITION, first)
        return watchman

    audit = "test.audit"


@pytest.fixture(scope="module")
def recorded() -> Recorded:
    return asyncio.run(record())


@pytest.fixture(scope="module")
def loop(recorded: Recorded) -> int:
    """Return the offset of the fact by which the loop is found."""
    from mesh.core.tasks import Header
    from mesh.processor.beat import Beat

    beat = Beat(Header(0, 0, ()))
    for own in recorded.records:
        for finding in beat.add(fact(own))[1]:
            if finding.kind == "loop":
                assert finding.at == own.offset
                return own.offset
    raise AssertionError("there is no loop")


@pytest.fixture
async def scene(recorded: Recorded, loop: int) -> AsyncIterator[Scene]:
    scene = Scene(recorded, loop)
    yield scene
    for watchman in scene.watchmen:
        await watchman.close()
    for log in scene.logs:
        await log.close(0.0)


def kinds(scene: Scene) -> list[tuple[str, str]]:
    return [(own.kind, own.response) for own in incidents(scene.broker)]


# --- halting ------------------------------------------------------------------------------------


async def test_a_loop_is_told_and_its_workflow_halted(scene: Scene) -> None:
    watchman = await scene.begin()
    await scene.watch(watchman, 0, scene.loop + 1)
    told, other = incidents(scene.broker)
    (order,) = scene.orders()
    assert (told.kind, told.response, told.policy) == ("loop", "halt", 0)
    assert told.spent is not None
    assert (told.spent.micro_usd, told.spent.hops) == (4 * 50_000, 4), "four turns were paid for"
    assert (order.target, order.halted, order.number) == (scene.target, True, 1)
    assert (order.detector, order.person, order.incident) == ("loop", "", told.id)
    assert (order.because, order.through) == (told.text, scene.loop + 1)
    assert (other.kind, other.response) == ("ping-pong", "halt")
    assert (watchman.told, watchman.halted) == (2, 1)
    assert watchman.settled() == {PARTITION: scene.loop + 1}


async def test_the_incident_comes_first_then_the_order_then_the_commit(scene: Scene) -> None:
    watchman = await scene.begin()
    scene.only(INCIDENTS, Fate.HELD)
    await scene.watch(watchman, 0, scene.loop + 1)
    assert scene.orders() == []
    scene.only(CONTROL, Fate.HELD)
    scene.broker.release()
    await settle()
    assert (watchman.told, watchman.halted) == (2, 0)
    assert watchman.settled() == {PARTITION: scene.loop}
    assert not await watchman.settle(0.01)
    scene.lands()
    scene.broker.release()
    assert await watchman.settle(5)
    assert (len(scene.orders()), watchman.settled()) == (1, {PARTITION: scene.loop + 1})


async def test_one_order_is_enough_whatever_else_is_found(scene: Scene) -> None:
    watchman = await scene.begin()
    await scene.watch(watchman, 0, len(scene.recorded.records))
    assert len(incidents(scene.broker)) > 3
    assert [own.number for own in scene.orders()] == [1]


async def test_an_order_of_unknown_outcome_is_given_again(scene: Scene) -> None:
    watchman = await scene.begin()
    scene.only(CONTROL, Fate.UNKNOWN)
    await scene.watch(watchman, 0, scene.loop + 1)
    assert watchman.settled() == {PARTITION: scene.loop}
    scene.lands()
    await watchman.look()
    await settle()
    first, second = scene.orders()
    assert first == second
    assert watchman.settled() == {PARTITION: scene.loop + 1}


async def test_what_has_ended_is_not_halted(scene: Scene) -> None:
    watchman = await scene.begin()
    scene.only(INCIDENTS, Fate.HELD)
    await scene.watch(watchman, 0, len(scene.recorded.records))
    scene.lands()
    scene.broker.release()
    await settle()
    assert watchman.told > 3
    assert scene.orders() == []


async def test_a_partition_that_was_given_up_halts_nothing_and_its_next_owner_does(
    scene: Scene,
) -> None:
    first = await scene.begin()
    scene.only(INCIDENTS, Fate.HELD)
    await scene.watch(first, 0, scene.loop + 1)
    first.give_up(PARTITION)
    scene.lands()
    scene.broker.release()
    await settle()
    assert scene.orders() == []
    second = await scene.begin()
    await scene.watch(second, 0, scene.loop + 1)
    assert [own.number for own in scene.orders()] == [1]
    assert (len(scene.ids()), len(set(scene.ids()))) == (4, 2)


# --- a person's word ----------------------------------------------------------------------------


@pytest.mark.parametrize("committed", [False, True])
async def test_what_a_person_lifted_is_not_halted_again_by_what_was_found(
    scene: Scene, committed: bool
) -> None:
    end = scene.loop + 1
    await scene.watch(await scene.begin(), 0, end)
    scene.person(halted=False, through=end)
    again = await scene.begin(end if committed else 0)
    await scene.watch(again, 0, end)
    assert [own.halted for own in scene.orders()] == [True, False]
    assert len(scene.ids()) == (2 if committed else 4), "what was told before the commit is known"


async def test_what_is_found_after_a_lift_halts(scene: Scene) -> None:
    watchman, end = await scene.begin(), scene.loop + 1
    await scene.watch(watchman, 0, end)
    scene.person(halted=False, through=end)
    await settle()
    await scene.watch(watchman, end, len(scene.recorded.records))
    assert [own.halted for own in scene.orders()] == [True, False, True]
    assert scene.orders()[-1].incident != scene.orders()[0].incident


async def test_what_was_found_while_a_lift_was_on_its_way_halts_when_it_is_read(
    scene: Scene,
) -> None:
    watchman, end = await scene.begin(), scene.loop + 1
    await scene.watch(watchman, 0, end)
    await scene.watch(watchman, end, end + 60)
    assert len(scene.orders()) == 1
    assert len(set(scene.ids())) > 2
    scene.person(halted=False, through=end)  # by somebody who had seen the loop alone
    await settle()
    assert [own.halted for own in scene.orders()] == [True, False, True]


async def test_a_halt_that_is_due_is_given_by_who_comes_next(scene: Scene) -> None:
    """Told and committed, and the order lost: nobody can say how, and it is given all the same."""
    end = scene.loop + 1
    await scene.watch(await scene.begin(), 0, end)
    scene.broker.trim(Place(CONTROL, 0), 1)
    third = await scene.begin(end)
    await settle()
    assert third.facts == end
    assert [own.number for own in scene.orders()] == [1]
    assert len(scene.ids()) == 2


# --- the policy ---------------------------------------------------------------------------------


async def test_policy_says_what_is_only_told_and_what_asks(scene: Scene) -> None:
    scene.policy(3, f"{WARNS}\nretry-storm = 'ask'")
    watchman = await scene.begin()
    await scene.watch(watchman, 0, len(scene.recorded.records))
    told = dict(kinds(scene))
    assert told["loop"] == told["ping-pong"] == "warn"
    assert {own.policy for own in incidents(scene.broker)} == {3}
    assert scene.orders() == []


async def test_a_new_policy_holds_from_when_it_is_seen(scene: Scene) -> None:
    watchman, end = await scene.begin(), scene.loop + 1
    scene.policy(1, WARNS)
    await settle()
    await scene.watch(watchman, 0, end)
    scene.policy(2)
    await settle()
    assert scene.orders() == [], "nothing is judged again for it"
    await scene.watch(watchman, end, len(scene.recorded.records))
    assert [(own.policy, own.response) for own in incidents(scene.broker)][:3] == [
        (1, "warn"),
        (1, "warn"),
        (2, "halt"),
    ]
    assert [own.number for own in scene.orders()] == [1]


async def test_a_restart_answers_nothing_anew_that_was_told(scene: Scene) -> None:
    end = scene.loop + 1
    scene.policy(1, WARNS)
    await scene.watch(await scene.begin(), 0, end)
    scene.policy(2)
    again = await scene.begin(end)
    assert again.findings["loop"] == 1
    await settle()
    assert kinds(scene) == [("loop", "warn"), ("ping-pong", "warn")]
    assert scene.orders() == []


async def test_limits_come_from_the_policy_too(scene: Scene) -> None:
    scene.policy(1, "[limits]\nloop_returns = 99\nloop_returns_opaque = 99")
    watchman = await scene.begin()
    await scene.watch(watchman, 0, scene.loop + 1)
    assert kinds(scene) == [("ping-pong", "halt")]
    scene.policy(2)
    await settle()
    await scene.watch(watchman, scene.loop + 1, scene.loop + 20)
    assert kinds(scene)[1] == ("loop", "halt")


async def test_a_policy_with_other_limits_finds_what_is_still_open_after_a_restart(
    scene: Scene,
) -> None:
    end = scene.loop + 1
    lax = await scene.watchman(LAX)
    await lax.take(PARTITION, 0)
    await scene.watch(lax, 0, end)
    assert kinds(scene) == [("ping-pong", "halt")]
    await scene.begin(end)
    await settle()
    assert kinds(scene) == [("ping-pong", "halt"), ("loop", "halt")]
    assert [own.number for own in scene.orders()] == [1]
