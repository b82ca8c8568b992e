"""The desk brings reports and readings back to whoever waits for them, in order."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mesh.core import effects as e
from mesh.core import facts as f
from mesh.core import messages as m
from mesh.core.desk import BEGINNING, MARK_MS, UNKNOWN, Desk, earliest
from mesh.core.ids import audit_partition
from mesh.core.ledger import Ledger
from mesh.core.standing import UNIT, Standing, Tally
from mesh.core.tasks import Header, Supervision
from mesh.core.values import Holder, Inbox, TaskPartition
from tests.unit.core.fleet import ROOTS, SETTINGS, START_MS, Fleet, boss_and, card

ME = Holder("boss-1", 1)
INBOX = Inbox("inbox.boss", 1)


@pytest.fixture
def desk() -> Desk:
    made = Desk(ME, INBOX, card("boss"), SETTINGS, 1)
    made.now_ms = START_MS
    return made


def taking(lease_ms: int = 1_000) -> f.SupervisionTaken:
    return f.SupervisionTaken(source=ROOTS, by=ME, inbox=INBOX, lease_ms=lease_ms)


class Heard:
    """Mutable: what a part of a node is told."""

    def __init__(self) -> None:
        self.of: list[object] = []

    def report(self, record: f.Record, void: str, *about: object) -> None:
        self.of.append((record.fact, void, *about))

    def read(self, *about: object) -> None:
        self.of.append(about)


# --- headers ------------------------------------------------------------------------------------


def test_headers_join_to_the_earliest() -> None:
    later, first = Header(7, 70, ()), Header(3, 30, ())
    assert earliest([later, first]) == first
    assert earliest([BEGINNING, later]) == BEGINNING


def test_of_each_source_the_earlier_supervision_is_kept() -> None:
    other = TaskPartition("demo.root", 1)
    old = Supervision(ROOTS, 1, ME, 1_000, 40)
    new = Supervision(ROOTS, 1, ME, 1_000, 90)
    second = Supervision(other, 2, ME, 1_000, 90)
    joined = earliest([Header(7, 70, (new, second)), Header(3, 30, (old,))])
    assert joined == Header(3, 30, (second, old)) or joined == Header(3, 30, (old, second))


def test_a_supervision_that_was_taken_behind_the_beginning_is_left_to_be_read() -> None:
    read = Supervision(ROOTS, 5, ME, 1_000, 90)
    assert earliest([Header(7, 70, (read,)), Header(3, 30, ())]) == Header(3, 30, ())


# --- appends ------------------------------------------------------------------------------------


def test_who_appended_goes_on_with_the_verdict_on_the_fact(desk: Desk) -> None:
    heard, fact = Heard(), taking()
    desk.append(0, fact, heard.report, "mine")
    (append,) = desk.step.appends
    assert (append.partition, append.fact) == (0, fact)
    desk.appended(append.token, f.Record(0, START_MS, 0, fact))
    assert heard.of == [(fact, "", "mine")]


def test_a_report_that_nobody_waits_for_is_passed_over(desk: Desk) -> None:
    heard = Heard()
    desk.append(0, taking(), heard.report)
    (append,) = desk.step.appends
    record = f.Record(0, START_MS, 0, taking())
    desk.appended(99, record)
    assert not heard.of
    desk.appended(append.token, record)
    desk.appended(append.token, record)
    assert len(heard.of) == 1


def test_a_fact_that_a_later_report_passes_over_must_not_be_acted_on(desk: Desk) -> None:
    heard = Heard()
    first, second = taking(), taking(2_000)
    desk.append(0, first, heard.report)
    desk.append(0, second, heard.report)
    desk.appended(desk.step.appends[1].token, f.Record(1, START_MS, 1, second))
    assert heard.of == [(first, UNKNOWN), (second, "")], "and it is told of first"


def test_partitions_pass_over_their_own_only(desk: Desk) -> None:
    heard = Heard()
    desk.append(0, taking(), heard.report)
    desk.append(1, taking(), heard.report)
    desk.appended(desk.step.appends[1].token, f.Record(0, START_MS, 0, taking()))
    assert len(heard.of) == 1


def test_an_own_fact_is_judged_with_the_difference_between_two_brokers_clocks(desk: Desk) -> None:
    heard, skew_ms = Heard(), SETTINGS.clock_skew_ms
    desk.append(0, taking(1_000), heard.report)
    desk.append(0, f.SupervisionRenewed(source=ROOTS, by=ME, authority=0), heard.report)
    taken, renewed = desk.step.appends
    desk.appended(taken.token, f.Record(0, START_MS, 0, taken.fact))
    assert not desk.ledger_of(0).supervisions, "a taking is believed when it was read"
    held = Header(0, START_MS, (Supervision(ROOTS, 0, ME, 1_000, START_MS + 1_000),))
    desk.ledger_of(0).supervisions.update(Ledger.begin(held).supervisions)
    at_ms = START_MS + 1_000 - skew_ms + 1
    desk.appended(renewed.token, f.Record(1, at_ms, 1, renewed.fact))
    assert heard.of[-1] == (renewed.fact, "the lease was over 1 ms before")


# --- marks --------------------------------------------------------------------------------------


def test_own_positions_are_remembered_a_second_apart(desk: Desk) -> None:
    for number, at_ms in enumerate((0, MARK_MS - 1, MARK_MS, 3 * MARK_MS)):
        desk.append(0, taking(), Heard().report)
        record = f.Record(number, START_MS + at_ms, number, taking())
        desk.appended(desk.step.appends[-1].token, record)
    assert desk.mark_before(0, START_MS - 1, 0) is None
    assert desk.mark_before(0, START_MS, 0) == (0, START_MS)
    assert desk.mark_before(0, START_MS + 2 * MARK_MS, 0) == (2, START_MS + MARK_MS)
    assert desk.mark_before(0, START_MS + 9 * MARK_MS, 4) is None, "not before the floor"
    assert desk.mark_before(1, START_MS, 0) is None


# --- reading ------------------------------------------------------------------------------------


def test_one_pass_serves_all_who_wait_for_it(desk: Desk) -> None:
    heard = Heard()
    desk.read("0-a", heard.read, 1)
    desk.read("0-a", heard.read, 2)
    desk.read("0-b", heard.read, 3)
    (read,) = desk.step.reads
    assert (read.header, read.through) == (BEGINNING, -1)
    assert read.workflows == {"0-a"}
    desk.was_read(read.token, Ledger())
    assert heard.of == [(1,)], "what was asked for meanwhile waits for the next pass"
    later = desk.step.reads[1]
    assert later.workflows == {"0-a", "0-b"}
    desk.was_read(later.token, Ledger())
    assert heard.of == [(1,), (2,), (3,)]
    assert len(desk.step.reads) == 2


def test_a_pass_that_makes_somebody_ask_again_is_followed_by_one_more(desk: Desk) -> None:
    heard = Heard()
    desk.read("0-a", lambda: desk.read("0-b", heard.read))
    desk.was_read(desk.step.reads[0].token, Ledger())
    assert [read.workflows for read in desk.step.reads] == [{"0-a"}, {"0-b"}]


def test_a_pass_is_bounded(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mesh.core.desk.READ_AT_ONCE", 2)
    for name in "abcd":
        desk.read(f"0-{name}", Heard().read)
    for number in range(3):
        desk.was_read(desk.step.reads[number].token, Ledger())
    assert [read.workflows for read in desk.step.reads] == [{"0-a"}, {"0-b", "0-c"}, {"0-d"}]


def test_a_pass_begins_where_all_that_are_read_can_be_found(desk: Desk) -> None:
    desk.headers.update({"0-b": Header(5, 50, ()), "0-c": Header(3, 30, ())})
    for name in "abc":
        desk.read(f"0-{name}", Heard().read)
    desk.was_read(desk.step.reads[0].token, Ledger())
    assert [read.header.offset for read in desk.step.reads] == [0, 3]


def test_an_answer_that_nobody_waits_for_is_passed_over(desk: Desk) -> None:
    heard = Heard()
    desk.read("0-a", heard.read)
    desk.was_read(99, Ledger())
    assert not heard.of


# --- what is known, and for how long ------------------------------------------------------------


def test_a_workflow_is_kept_as_long_as_somebody_holds_it() -> None:
    fleet, (boss,) = boss_and()
    workflow = boss.submit()
    desk = boss.node.desk
    desk.hold(workflow)
    boss.finish(workflow)
    assert workflow in desk.headers
    desk.release(workflow)
    assert workflow not in desk.headers
    assert not desk.ledger(workflow).open_tasks(workflow)
    assert fleet.end(workflow)


def test_log_time_is_guessed_from_the_later_of_clock_and_log(desk: Desk) -> None:
    assert desk.log_now("0-a") == START_MS
    desk.ledger("0-a").observe(START_MS + 5)
    assert desk.log_now("0-a") == START_MS + 5


def test_all_workflows_of_a_source_live_in_one_partition() -> None:
    desk = Desk(ME, INBOX, card("boss"), SETTINGS, 24)
    home = audit_partition(ROOTS, 24)
    assert desk.home(ROOTS) == home
    assert desk.ledger(f"{home}-a") is desk.ledger_of(home)


# --- the rest -----------------------------------------------------------------------------------


def test_messages_say_from_whom_they_are(desk: Desk) -> None:
    content = m.Progress(workflow="0-a", task="0-a", award=1, lease_end_ms=9, text="")
    to = Holder("ann-1", 2)
    desk.send(to, Inbox("inbox.ann", 1), content)
    envelope = m.Envelope(to=to, sender=ME, sender_inbox=INBOX, content=content)
    assert desk.step.messages == [e.Send(Inbox("inbox.ann", 1), envelope)]
    desk.refuse(envelope, "no")
    assert desk.step.messages[1:] == [e.Refusal("boss-1", "Progress", "no")]
    assert desk.refusals == 1


def test_timers_run_in_the_order_of_their_times(desk: Desk) -> None:
    heard = Heard()
    assert desk.next_deadline() is None
    desk.at(START_MS + 2, heard.read, "second")
    desk.at(START_MS + 1, heard.read, "first")
    desk.at(START_MS + 1, heard.read, "also first")
    desk.run_timers()
    assert not heard.of
    assert desk.next_deadline() == START_MS + 1
    desk.now_ms = START_MS + 2
    desk.run_timers()
    assert heard.of == [("first",), ("also first",), ("second",)]


def test_what_reached_the_log_without_a_report_is_found_by_reading() -> None:
    fleet = Fleet()
    boss = fleet.join("boss", ROOTS.capability)
    fleet.lose(f.TaskOpened, boss)
    boss.owns()
    workflow = boss.submit()
    assert not boss.works, "its supervisor must not act on what it does not know to count"
    fleet.wait(13_000)
    assert boss.works[workflow].epoch == 2, "the first award did count, and had to run out"


@pytest.mark.parametrize(
    ("capability", "kept"), [("demo.own", True), ("parts.buy", True), ("demo.other", False)]
)
def test_standing_is_kept_of_what_may_be_auctioned_here(capability: str, kept: bool) -> None:
    own = Desk(ME, INBOX, replace(card("boss", "demo.own"), calls=("parts.*",)), SETTINGS, 1)
    tally = Tally(capability, version=1, good=UNIT)
    own.standings.see(Standing(agent="ann", partition=0, since=0, tallies=(tally,)))
    assert bool(own.standings.of("ann", capability).versions) is kept
