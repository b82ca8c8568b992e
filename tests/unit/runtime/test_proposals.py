from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from mesh.core.messages import Judged
from mesh.core.shared import Change, Verdict, Write
from mesh.core.values import Holder
from mesh.errors import TransportError, WireError
from mesh.ports import Headers, Place, Report
from mesh.runtime.proposals import (
    AGAIN_MAX_MS,
    AGAIN_MS,
    HAPPENED,
    PASSED_MS,
    RETRY_MS,
    Proposals,
)
from mesh.testing.clock import ManualClock
from mesh.transport.memory import MemoryBroker, MemoryLog
from mesh.wire.state import decode_proposal, state_partition
from tests.unit.runtime.entries import INBOX, ME, change, envelope, judged


class Line(MemoryLog):
    """Mutable: a log of which the test says what becomes of each append."""

    def __init__(self) -> None:
        super().__init__(MemoryBroker(lambda: 0))
        self.sent: list[tuple[Place, bytes, bytes]] = []
        self.reports: list[Callable[[Report], None]] = []
        self.full = False

    def append(
        self,
        place: Place,
        key: bytes | None,
        value: bytes | None,
        headers: Headers = (),
        report: Callable[[Report], None] | None = None,
    ) -> None:
        if self.full:
            raise TransportError("the queue is full")
        assert key is not None
        assert value is not None
        assert report is not None
        self.sent.append((place, key, value))
        self.reports.append(report)

    def land(self, number: int, offset: int, error: str | None = None) -> None:
        place = self.sent[number][0]
        self.reports[number](Report(place.topic, place.partition, offset, 0, error))


class Bench:
    """Mutable: a change that is proposed, with the line and the clock around it."""

    def __init__(self) -> None:
        self.line = Line()
        self.clock = ManualClock()
        self.proposals = Proposals(
            ME, INBOX, log=self.line, mesh="demo", partitions=3, clock=self.clock
        )
        self.verdict = self.propose("c1")

    def propose(self, name: str) -> asyncio.Task[Judged]:
        return asyncio.ensure_future(self.proposals.propose(change(name)))

    def hear(self, offset: int, verdict: Verdict = Verdict.ACCEPTED, name: str = "c1") -> None:
        told = judged(offset, verdict, name)
        assert self.proposals.heard(envelope(told), told)

    def sent(self) -> list[str]:
        """Return the names of the changes that were sent, in their order."""
        sent = [decode_proposal(value) for _, _, value in self.line.sent]
        return [own.change for own in sent if isinstance(own, Change)]

    def wait(self, ms: int) -> None:
        self.clock.move_to(self.clock.now_ms() + ms)

    async def done(self) -> bool:
        for _ in range(5):
            await asyncio.sleep(0)
        return self.verdict.done()


async def bench() -> Bench:
    made = Bench()
    assert not await made.done()
    return made


async def test_a_change_goes_where_its_group_lives_and_its_verdict_comes_back() -> None:
    own = await bench()
    ((place, key, value),) = own.line.sent
    assert place == Place("demo.changes", state_partition("a/b", 3))
    assert (key, decode_proposal(value)) == (b"a/b", change())
    assert (len(own.proposals), repr(own.proposals)) == (1, "Proposals(1 open)")
    own.line.land(0, 7)
    own.hear(7)
    assert (await own.verdict).verdict is Verdict.ACCEPTED
    assert len(own.proposals) == 0
    own.wait(10 * AGAIN_MAX_MS)
    assert len(own.line.sent) == 1


# --- when to send a copy ------------------------------------------------------------------------


async def several(*names: str) -> Bench:
    """Return changes that stand in the log one after the other, from offset 0 on."""
    own = Bench()
    tasks = [own.verdict, *map(own.propose, names)]
    await asyncio.sleep(0)
    for offset, _ in enumerate(tasks):
        own.line.land(offset, offset)
    return own


async def test_in_a_silence_it_is_sent_again_ever_more_rarely() -> None:
    own = await bench()
    for copy, pause_ms in enumerate([5_000, 10_000, 20_000, 40_000, 60_000, 60_000]):
        own.line.land(copy, copy)
        own.wait(pause_ms - 1)
        assert len(own.line.sent) == copy + 1
        own.wait(1)
        assert len(own.line.sent) == copy + 2
    assert {value for _, _, value in own.line.sent} == {own.line.sent[0][2]}
    own.line.land(6, 6)
    own.hear(6)
    assert await own.done()


async def test_in_a_silence_one_asks_for_all_that_wait_the_longest_first() -> None:
    own = await several("c2", "c3")
    own.wait(AGAIN_MS)
    own.line.land(3, 3)
    own.wait(2 * AGAIN_MS)
    own.line.land(4, 4)
    own.wait(4 * AGAIN_MS)
    assert own.sent() == ["c1", "c2", "c3", "c1", "c2", "c3"]


async def test_who_answers_ends_the_silence() -> None:
    own = await several("c2", "c3")
    own.wait(AGAIN_MS)
    own.wait(AGAIN_MS)  # the second is due after twice the pause
    own.hear(0)
    own.wait(AGAIN_MS - 1)
    assert own.sent() == ["c1", "c2", "c3", "c1"]
    own.wait(1)
    assert own.sent() == ["c1", "c2", "c3", "c1", "c2"]


async def test_a_verdict_on_what_stands_higher_says_that_one_was_lost() -> None:
    own = await several("c2", "c3")
    own.hear(1, name="c2")
    own.wait(PASSED_MS - 1)
    assert len(own.line.sent) == 3
    own.wait(1)
    assert own.sent() == ["c1", "c2", "c3", "c1"]
    own.hear(0, Verdict.CONFLICT)  # of an earlier judge, and too late
    own.line.land(3, 3)
    assert not await own.done()
    own.hear(3, Verdict.CONFLICT)
    assert (await own.verdict).offset == 3


async def test_a_verdict_that_was_overtaken_is_waited_for() -> None:
    own = await several("c2")
    own.hear(1, name="c2")
    own.hear(0, Verdict.CONFLICT)
    assert (await own.verdict).verdict is Verdict.CONFLICT
    own.wait(10 * AGAIN_MAX_MS)
    assert own.sent() == ["c1", "c2"]


async def test_one_may_be_passed_over_before_it_is_known_where_it_stands() -> None:
    own = await bench()
    second = own.propose("c2")
    await asyncio.sleep(0)
    own.hear(1, name="c2")
    assert (await second).offset == 1
    own.line.land(0, 0)
    own.wait(PASSED_MS)
    assert own.sent() == ["c1", "c2", "c1"]


async def test_the_verdict_on_a_copy_tells_of_others_whoever_waits_for_it() -> None:
    own = await several("c2")
    own.wait(AGAIN_MS)
    own.line.land(2, 2)
    own.hear(0)  # the first copy was judged after all; that of c2 was lost
    assert await own.done()
    own.hear(2)
    own.wait(PASSED_MS)
    assert own.sent() == ["c1", "c2", "c1", "c2"]


async def test_a_partition_says_nothing_of_another() -> None:
    own = await bench()
    own.line.land(0, 0)
    other = replace(change("c2"), writes=(Write("b/b", 0, b"1"),))
    assert state_partition("b/b", 3) != state_partition("a/b", 3)
    verdict = asyncio.ensure_future(own.proposals.propose(other))
    await asyncio.sleep(0)
    own.line.land(1, 9)
    entry = judged(9, change_id="c2").entries[0]._replace(key="b/b")
    told = replace(judged(9, change_id="c2"), entries=(entry,))
    assert own.proposals.heard(envelope(told), told)
    assert (await verdict).offset == 9
    own.wait(AGAIN_MS - 1)
    assert len(own.line.sent) == 2


async def test_what_was_malformed_says_nothing() -> None:
    own = await several("c2")
    told = replace(judged(1, Verdict.REFUSED, "c2"), entries=())
    assert own.proposals.heard(envelope(told), told)
    own.wait(AGAIN_MS - 1)
    assert len(own.line.sent) == 2


async def test_one_that_is_always_passed_over_is_sent_ever_more_rarely() -> None:
    """Somebody tells what cannot be, or the topic began anew."""
    own = await bench()
    own.hear(2**40, name="nobody")
    waited = []
    for copy in range(9):
        own.line.land(copy, copy)
        begun = own.clock.now_ms()
        while len(own.line.sent) == copy + 1:
            own.wait(PASSED_MS)
        waited.append((own.clock.now_ms() - begun) // PASSED_MS)
    assert waited == [1, 2, 4, 8, 16, 32, 64, 120, 120]


async def test_nobody_waits_and_nothing_is_due() -> None:
    own = await several("c2")
    own.hear(0)
    own.hear(1, name="c2")
    assert await own.done()
    assert own.clock.next_ms() is None


async def test_nothing_is_sent_while_the_broker_does_not_answer() -> None:
    own = await bench()
    own.wait(10 * AGAIN_MAX_MS)
    assert len(own.line.sent) == 1


# --- which verdict to believe -------------------------------------------------------------------


@pytest.mark.parametrize("verdict", [Verdict.CONFLICT, Verdict.REFUSED])
async def test_a_refusal_is_believed_of_the_last_copy_alone(verdict: Verdict) -> None:
    own = await bench()
    own.line.land(0, 3)
    own.wait(AGAIN_MS)
    own.hear(3, verdict)  # while the second is on its way
    own.line.land(1, 8)
    assert not await own.done()
    own.hear(3, verdict)
    assert not await own.done()
    own.hear(8, verdict)
    assert (await own.verdict).offset == 8


async def test_a_refusal_may_come_before_it_is_known_where_the_copy_stands() -> None:
    own = await bench()
    own.hear(3, Verdict.CONFLICT)
    assert not await own.done()
    own.line.land(0, 3)
    assert (await own.verdict).verdict is Verdict.CONFLICT


async def test_an_older_refusal_does_not_take_the_place_of_the_last() -> None:
    own = await bench()
    own.line.land(0, 3)
    own.wait(AGAIN_MS)
    own.hear(8, Verdict.CONFLICT)
    own.hear(3, Verdict.CONFLICT)
    own.line.land(1, 8)
    assert (await own.verdict).offset == 8


@pytest.mark.parametrize("verdict", sorted(HAPPENED))
async def test_what_made_a_version_is_believed_of_any_copy(verdict: Verdict) -> None:
    """It happened; what is said of a later copy may be less true, when much came in between."""
    own = await bench()
    own.line.land(0, 3)
    own.wait(AGAIN_MS)
    own.hear(3, verdict)
    own.hear(8, Verdict.CONFLICT)
    assert (await own.verdict).verdict is verdict


async def test_an_append_that_fails_is_made_again() -> None:
    own = await bench()
    own.line.land(0, -1, "timed out")
    own.hear(0, Verdict.REFUSED)  # it was in the log after all, but another copy follows
    own.line.full = True
    own.wait(RETRY_MS)
    own.wait(RETRY_MS)
    assert len(own.line.sent) == 1
    own.line.full = False
    own.wait(RETRY_MS)
    own.line.land(1, 5)
    assert not await own.done()
    own.hear(5)
    assert await own.done()


async def test_who_waits_no_more_sends_no_more() -> None:
    own = await bench()
    own.verdict.cancel()
    assert await own.done()
    own.line.land(0, 3)
    own.hear(3)
    own.wait(10 * AGAIN_MAX_MS)
    assert len(own.line.sent) == 1
    assert len(own.proposals) == 0


async def test_two_that_wait_for_one_change_do_not_disturb_each_other() -> None:
    """An award that was lost and given again: the first start of the handler is being unwound."""
    own = await bench()
    second = asyncio.ensure_future(own.proposals.propose(change()))
    await asyncio.sleep(0)
    own.verdict.cancel()
    await own.done()
    own.line.land(1, 4)
    own.hear(4)
    assert (await second).offset == 4


async def test_a_verdict_for_an_earlier_incarnation_is_refused() -> None:
    own = await bench()
    earlier = envelope(judged(0), Holder(ME.instance, ME.incarnation - 1))
    assert not own.proposals.heard(earlier, judged(0))
    assert own.proposals.heard(envelope(judged(0, change_id="x")), judged(0, change_id="x"))
    assert not await own.done()
    own.verdict.cancel()


async def test_what_cannot_be_written_is_not_sent() -> None:
    own = await bench()
    own.verdict.cancel()
    large = replace(change(), writes=(Write("a/b", 0, b"x" * 300_000),))
    with pytest.raises(WireError):
        await own.proposals.propose(large)
    assert len(own.line.sent) == 1
