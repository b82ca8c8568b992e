"""The table of a task's moves, and the lease."""

from __future__ import annotations

from typing import get_args

from mesh.core import facts as f
from mesh.core.tasks import AUTHORITY_OVER, NEXT, Lease, Phase, StepState
from mesh.core.values import Holder, StepKind

ANN = Holder("ann-1", 1)


def test_every_kind_of_fact_about_a_task_is_a_move_somewhere() -> None:
    kinds = {*get_args(f.SupervisorFact), *get_args(f.WorkerFact)} - {f.TaskOpened}
    assert {kind for _, kind in NEXT} == kinds
    assert kinds >= AUTHORITY_OVER


def test_nothing_moves_a_task_that_ended() -> None:
    assert Phase.ENDED not in {phase for phase, _ in NEXT}


def test_only_a_working_task_takes_its_workers_facts() -> None:
    workers = set(get_args(f.WorkerFact))
    assert {phase for phase, kind in NEXT if kind in workers} == {Phase.WORKING}


def test_every_end_leads_to_the_end() -> None:
    ends = set(get_args(f.EndFact))
    assert {after for (_, kind), after in NEXT.items() if kind in ends} == {Phase.ENDED}


def test_a_lease_runs_through_its_end_and_never_beyond_its_limit() -> None:
    lease = Lease(3, ANN, 100, now_ms=50, limit_ms=170)
    assert lease.running(150)
    assert not lease.running(151)
    lease.extend(40)
    assert lease.end_ms == 150, "it is never shortened"
    lease.extend(100)
    assert lease.end_ms == 170
    lease.held = False
    assert not lease.running(60)
    assert repr(lease) == "Lease(3 ann-1/1 given up)"


def test_a_step_shows_itself() -> None:
    assert repr(StepState(StepKind.TOOL, "post", b"", 7)) == "StepState(tool post begun)"
