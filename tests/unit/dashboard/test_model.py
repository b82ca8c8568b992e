from __future__ import annotations

from mesh.dashboard import views
from mesh.dashboard.model import Model
from mesh.ports import Incoming
from mesh.transport.memory import MemoryBroker
from mesh.wire import topics
from tests.unit.cli.conftest import MESH


def records(broker: MemoryBroker) -> list[Incoming]:
    return list(broker.records(topics.audit(MESH)))


def read(broker: MemoryBroker, step: int) -> Model:
    model = Model()
    for number in range(len(broker.partitions(topics.audit(MESH)))):
        model.begin(number, 0)
    every = records(broker)
    for first in range(0, len(every), step):
        model.add(every[first : first + step])
    return model


def test_whatever_the_batches_the_page_is_the_same(broker: MemoryBroker) -> None:
    one, other = read(broker, 1), read(broker, 1_000)
    now_ms = one.log_time_ms
    assert views.now(one, now_ms, MESH) == views.now(other, now_ms, MESH)
    assert views.graph(one, now_ms) == views.graph(other, now_ms)
    assert views.health(one, now_ms) == views.health(other, now_ms)


def test_a_repeat_is_folded_once(broker: MemoryBroker) -> None:
    model = read(broker, 50)
    count, position = model.ring.next, model.position
    model.add(records(broker))
    assert (model.ring.next, model.position) == (count, position)


def test_what_is_no_fact_moves_the_position_and_is_shown() -> None:
    model = Model()
    model.begin(0, 0)
    model.add(
        [Incoming("t", 0, 0, 5, None, b"garbage", ()), Incoming("t", 0, 1, 6, None, None, ())]
    )
    assert model.position == {0: 2}
    assert [views.fact(own)["readable"] for own in model.ring.latest()] == [False, False]
    assert model.strands[0].unreadable == 2


def test_only_a_root_task_is_a_workflow(broker: MemoryBroker) -> None:
    model = read(broker, 100)
    child = next(row for row in model.rows.every() if row.parent)
    assert model.root(child.task) is None
    assert model.root(child.workflow) is not None
    assert model.root("0-none") is None
