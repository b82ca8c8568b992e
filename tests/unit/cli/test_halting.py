from __future__ import annotations

from dataclasses import replace

import pytest

from mesh.cli.failures import CommandError
from mesh.cli.halting import check_name, covered, halted_target, shape
from mesh.core.halts import HaltOrder, TargetKind
from mesh.core.registry import Directory
from mesh.ports import Incoming
from mesh.runtime.orders import InForce, Orders
from mesh.telling.story import Chronicle
from mesh.wire.entries import encode_entry
from tests.unit.cli.conftest import Recorded
from tests.unit.core.fleet import PART, card

ORDER = HaltOrder(
    target="capability/office.order",
    halted=True,
    number=1,
    person="eve",
    detector="",
    because="stock-taking",
    incident="5f",
)


def read(*orders: HaltOrder) -> Orders:
    made = Orders()
    for offset, own in enumerate(orders):
        value = encode_entry(own)
        made.see(Incoming("m.control", 0, offset, 1_000 + offset, own.target.encode(), value, ()))
    return made


def chronicle(recorded: Recorded, item: str) -> Chronicle:
    workflow = recorded.workflows[item]
    made = Chronicle(workflow)
    for record in recorded.records(workflow)[1]:
        made.add(record)
    return made


def test_an_order_in_words_says_who_why_and_since_when() -> None:
    given = InForce(ORDER, 1_000)
    assert str(given) == "halted by eve because stock-taking, since 1970-01-01T00:00:01.000Z"
    lifted = replace(ORDER, halted=False, person="", detector="loop")
    assert str(InForce(lifted, 0)).startswith("lifted by detector loop because")
    assert shape(given)["since"] == "1970-01-01T00:00:01.000Z"


def test_what_is_lifted_stands_no_more() -> None:
    late = replace(ORDER, because="late")
    orders = read(ORDER, late)
    assert orders.in_force(ORDER.target) == InForce(ORDER, 1_000)
    assert orders.targets() == [ORDER.target]
    orders = read(ORDER, replace(ORDER, halted=False, number=2))
    assert orders.in_force(ORDER.target) is None
    assert (orders.targets(), orders.since(ORDER.target)) == ([], 1_001)
    assert repr(orders) == "Orders(Halts([] of 1))"


def test_what_an_order_covers_is_counted_whether_it_halts_or_lifts(recorded: Recorded) -> None:
    every = [chronicle(recorded, item) for item in recorded.workflows]
    assert covered(every, ORDER) == 1
    assert covered(every, replace(ORDER, halted=False)) == 1
    assert covered(every, replace(ORDER, target="capability/office.quote")) == 0
    orders = read(ORDER)
    assert [own.order for own in orders.over(chronicle(recorded, "later"))] == [ORDER]
    assert orders.over(chronicle(recorded, "table")) == []


def test_near_names_are_told() -> None:
    directory = Directory()
    directory.see_card("ann", card("ann", PART))
    check_name(TargetKind.AGENT, "ann", directory, "test")
    check_name(TargetKind.CAPABILITY, "demo.*", directory, "test")
    with pytest.raises(CommandError, match=r"did you mean demo\.part or"):
        check_name(TargetKind.CAPABILITY, "demo.prat", directory, "test")
    with pytest.raises(CommandError, match="`mesh agents` lists"):
        check_name(TargetKind.AGENT, "zzz", directory, "test")


def test_what_is_halted_is_found_by_its_name_or_the_beginning_of_it() -> None:
    orders = read(
        replace(ORDER, target="workflow/3-8f2c"),
        replace(ORDER, target="agent/ann"),
        replace(ORDER, target="agent/anna"),
    )
    assert halted_target("3-8f", orders) == "workflow/3-8f2c"
    assert halted_target("agent/ann", orders) == "agent/ann"
    assert halted_target("ann", orders) == "agent/ann"
    with pytest.raises(CommandError, match="names several"):
        halted_target("agent/a", orders)
    with pytest.raises(CommandError, match="did you mean"):
        halted_target("anne", orders)
    with pytest.raises(CommandError, match="halted: nothing"):
        halted_target("anne", Orders())
